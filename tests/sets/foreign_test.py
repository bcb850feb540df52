"""Files of scores and lists, in the forms in which other tools write them."""

import gzip
import json
import math
import pathlib
import pickle

import numpy as np
import pytest

from prod_jax.sets import copies, ids
from prod_jax.sets.foreign import layout, names, read, records, scale, write
from prod_jax.sets.records import DataError, Passage, Query

QUERIES = [Query("q1", "how is tea made", ()), Query("2", "when", ())]
PASSAGES = [
  Passage("10", "Kettle", "boil water"),
  Passage("p2", "", "pour it"),
  Passage("p3", "Ferry", "it goes at nine"),
]
# Forms that say the same: of q1, passage 10 scores 2.5 and p2 0.5; p3, -1.
SAME = {
  "run": "q1 Q0 10 1 2.5 x\nq1 Q0 p2 2 0.5 x\n2 Q0 p3 1 -1 x\n",
  "tsv": "q1\t10\t2.5\r\n\r\nq1\tp2\t0.5\r\n2\tp3\t-1\r\n",
  "header": (
    "corpus-id\tquery-id\tscore\n10\tq1\t2.5\np2\tq1\t0.5\np3\t2\t-1\n"
  ),
  "qid_pid": [
    {"qid": "q1", "pid": 10, "score": 2.5},
    {"qid": "q1", "pid": "p2", "score": 0.5},
    {"qid": 2, "pid": "p3", "score": -1},
  ],
  "beir_names": [
    {"query-id": "q1", "corpus-id": "10", "score": 2.5},
    {"query-id": "q1", "corpus-id": "p2", "score": 0.5},
    {"query-id": "2", "corpus-id": "p3", "score": -1},
  ],
  "flag": [
    {
      "query": "how is  tea made",
      "pos": ["Kettle boil water"],
      "neg": ["pour it"],
      "pos_scores": [2.5],
      "neg_scores": [0.5],
      "prompt": "Represent this",
      "type": "normal",
    },
    {
      "query": "when",
      "pos": [],
      "neg": ["it goes at\nnine"],
      "neg_scores": [-1],
    },
  ],
  "flag_ids": [
    {
      "query": "other words",
      "query_id": "q1",
      "pos": ["cut"],
      "neg": ["pour"],
      "pos_id": ["10"],
      "neg_id": ["p2"],
      "pos_scores": [2.5],
      "neg_scores": [0.5],
    },
    {"qid": 2, "neg": ["p3"], "neg.score": [-1.0]},
  ],
  "tevatron": [
    {
      "query_id": "q1",
      "query": "how is tea made",
      "positive_passages": [
        {"docid": "10", "title": "Kettle", "text": "boil water", "score": 2.5}
      ],
      "negative_passages": [{"title": "", "text": "pour it", "score": 0.5}],
    },
    {
      "query_id": "2",
      "negative_passages": [
        {
          "docid": "nobody's",
          "title": "Ferry",
          "text": "it goes at nine",
          "score": -1,
        }
      ],
    },
  ],
  "st_tuples": [
    {
      "anchor": "how is tea made",
      "positive": "boil water",
      "negative_1": "pour it",
      "scores": [2.5, 0.5],
    },
    {"query": "when", "negative": "it goes at nine", "score": [-1]},
  ],
  "st_scores": [
    {"query": "how is tea made", "answer": ["10", "p2"], "scores": [2.5, 0.5]},
    {"query": "when", "answer": ["it goes at nine"], "scores": [-1]},
  ],
  "st_mixed": [
    {
      "query": "how is tea made",
      "positive": ["10", "p2"],
      "scores": [2.5, 0.5],
    },
    {"query": "when", "docs": "it goes at nine", "score": -1},
  ],
  "st_labels": [
    {"query": "how is tea made", "answer": ["10", "p2"], "labels": [1, 0]},
    {"query": "when", "docs": ["it goes at nine"], "labels": [0]},
  ],
  "st_marco": [
    {
      "qid": "q1",
      "pos": [{"pid": 10, "ce-score": 2.5}],
      "neg": {"bm25": [{"pid": "p2", "ce-score": 0.5}], "tas-b": []},
    },
    {"qid": 2, "pos": [], "neg": {"bm25": [{"pid": "p3", "ce-score": -1}]}},
  ],
}


@pytest.fixture
def file(tmp_path):
  """A function that writes a file, of text or of objects."""

  def written(content, name="scores"):
    if not isinstance(content, str):
      content = "".join(json.dumps(record) + "\n" for record in content)
    path = tmp_path / name
    opened = gzip.open if name.endswith(".gz") else open
    with opened(path, "wt", encoding="utf-8", newline="") as out:
      out.write(content)
    return path

  return written


@pytest.fixture
def found(tmp_path):
  """A function that reads a file beside the set above."""

  def of(path: pathlib.Path, on_error="raise") -> read.Found:
    folder = tmp_path / f"tables-{len([*tmp_path.iterdir()])}"
    folder.mkdir()
    table = np.zeros((3, len(PASSAGES)), np.uint64)
    keys = copies.keys_of(PASSAGES, table, title_join=". ")
    own = np.array([copies.key(query.text) for query in QUERIES], np.uint64)
    texts = layout.find(path, "").texts
    names.save(
      folder,
      read.QUERIES,
      ids.table([query.id for query in QUERIES]),
      [own] if texts else [],
    )
    names.save(
      folder,
      read.PASSAGES,
      ids.table([passage.id for passage in PASSAGES]),
      [keys.whole, keys.joined, keys.text] if texts else [],
    )
    return read.read(layout.find(path, ""), folder, on_error)

  return of


def plain(pairs: read.Pairs) -> list[tuple]:
  return [
    (q, p, None if math.isnan(s) else s)
    for q, p, s in zip(
      pairs.query.tolist(),
      pairs.passage.tolist(),
      pairs.score.tolist(),
      strict=True,
    )
  ]


SAID = [(0, 0, 2.5), (0, 1, 0.5), (1, 2, -1.0)]


@pytest.mark.parametrize("form", SAME)
@pytest.mark.parametrize("name", ["scores", "scores.gz"])
def test_forms_that_say_the_same(file, found, form, name):
  got = found(file(SAME[form], name))
  without = [(q, p, None) for q, p, _ in SAID]
  assert plain(got.pairs) == (without if form == "st_labels" else SAID)
  assert not got.unknown.total() and got.examples["queries"] == []
  neither = ("run", "tsv", "header", "qid_pid", "beir_names")
  neither += ("st_scores", "st_mixed")
  roles = [0, 0, 0] if form in neither else [1, -1, -1]
  assert got.pairs.role.tolist() == roles


# What mine_hard_negatives of sentence-transformers 6.2 makes of two pairs, of
# columns query and answer, in each of its formats, without scores and with.
TEA, WHEN = "how is tea made", "when"
BOIL, POUR, NINE = "boil water", "pour it", "it goes at nine"
MINED = {
  "triplet": [
    {"query": TEA, "answer": BOIL, "negative": POUR},
    {"query": WHEN, "answer": NINE, "negative": POUR},
  ],
  "triplet-scores": [
    {"query": TEA, "answer": BOIL, "negative": POUR, "scores": [0.5, 0.25]},
    {"query": WHEN, "answer": NINE, "negative": POUR, "scores": [0.75, -0.5]},
  ],
  "n-tuple": [
    {"query": TEA, "answer": BOIL, "negative_1": POUR, "negative_2": NINE},
    {"query": WHEN, "answer": NINE, "negative_1": POUR, "negative_2": BOIL},
  ],
  "n-tuple-scores": [
    {
      "query": TEA,
      "answer": BOIL,
      "negative_1": POUR,
      "negative_2": NINE,
      "scores": [0.5, 0.25, -1.0],
    },
    {
      "query": WHEN,
      "answer": NINE,
      "negative_1": POUR,
      "negative_2": BOIL,
      "scores": [0.75, -0.5, -1.0],
    },
  ],
  "labeled-pair": [
    {"query": TEA, "answer": BOIL, "label": 1},
    {"query": TEA, "answer": POUR, "label": 0},
    {"query": WHEN, "answer": NINE, "label": 1},
    {"query": WHEN, "answer": POUR, "label": 0},
  ],
  "labeled-pair-scores": [
    {"query": TEA, "answer": BOIL, "score": 0.5},
    {"query": TEA, "answer": POUR, "score": 0.25},
    {"query": WHEN, "answer": NINE, "score": 0.75},
    {"query": WHEN, "answer": POUR, "score": -0.5},
  ],
  "labeled-list": [
    {"query": TEA, "answer": [BOIL, POUR], "labels": [1, 0]},
    {"query": WHEN, "answer": [NINE, POUR], "labels": [1, 0]},
  ],
  "labeled-list-scores": [
    {"query": TEA, "answer": [BOIL, POUR], "scores": [0.5, 0.25]},
    {"query": WHEN, "answer": [NINE, POUR], "scores": [0.75, -0.5]},
  ],
}


@pytest.mark.parametrize("form", MINED)
@pytest.mark.parametrize("positive", ["answer", "positive"])
def test_formats_of_mined_negatives(file, found, form, positive):
  """Columns keep the names that they had; a positive may have any of two."""
  lines = [
    {{"answer": positive}.get(k, k): v for k, v in record.items()}
    for record in MINED[form]
  ]
  got = found(file(lines)).pairs
  rows = zip(
    got.query.tolist(), got.passage.tolist(), got.score, got.role, strict=True
  )
  scored = form.endswith("-scores")
  labelled = not form.startswith("labeled") or not scored
  wanted = [(0, 0, 0.5, 1), (0, 1, 0.25, -1), (1, 2, 0.75, 1), (1, 1, -0.5, -1)]
  if form.startswith("n-tuple"):
    wanted.insert(2, (0, 2, -1.0, -1))
    wanted.append((1, 0, -1.0, -1))
  assert [
    (q, p, None if math.isnan(s) else s, role) for q, p, s, role in rows
  ] == [
    (q, p, s if scored else None, role if labelled else 0)
    for q, p, s, role in wanted
  ]


@pytest.mark.parametrize(
  ("more", "role"),
  [
    ({"label": 0.0}, records.NEGATIVE),
    ({"label": 1.0}, records.POSITIVE),
    ({"label": False}, records.NEGATIVE),
    ({"label": 2, "score": 0.5}, records.POSITIVE),
    ({"label": 0, "score": 0.5}, records.NEGATIVE),
    ({"label": None, "score": 0.5}, records.NEITHER),
    ({"score": 0.5}, records.NEITHER),
  ],
)
@pytest.mark.parametrize("name", ["positive", "text", "pid"])
def test_one_label_says_what_a_passage_is(name, more, role):
  (said,) = records.said({"query": "when", name: "10", **more})
  assert said.role == role
  assert said.score == 0.5 or "score" not in more


def test_a_label_beside_several_passages_is_of_none():
  margin = {"query": "a", "positive": "b", "negative": "c", "label": -0.3}
  assert [one.role for one in records.said(margin)] == [1, -1]
  # In a table, who has fewer negatives than others has a null.
  uneven = {**margin, "negative_1": None, "negative_2": "boats"}
  assert [one.role for one in records.said(uneven)] == [1, -1, -1]
  with pytest.raises(records.Odd, match=r"label 0\.7 is not a whole number"):
    records.said({"query": "a", "positive": "b", "label": 0.7})


def test_labels_of_columns_are_scores():
  """As sentence-transformers' losses of distillation have them."""
  line = {"query": "a", "positive": "b", "negative_1": "c", "label": [9, 0.5]}
  said = records.said(line)
  assert [(one.score, one.role) for one in said] == [(9, 1), (0.5, -1)]
  with pytest.raises(records.Odd, match="3 scores for 2 passages"):
    records.said({**line, "label": [9, 1, 0.5]})


def test_an_id_beside_the_text_of_another_is_counted(file, found):
  """A file may have numbers of its own, which the set happens to have, too."""
  texts = [(p.id, p.text) for p in PASSAGES]
  own = [{"docid": name, "text": text} for name, text in texts]
  (one, _), (_, other) = texts[:2]
  wrong = {"docid": one, "text": other}
  edited = {"docid": one, "text": "nobody has this text here"}
  got = found(
    file(
      [
        {"query_id": "q1", "positive_passages": [own[0], wrong, wrong]},
        {"query_id": "q1", "positive_passages": [*own, edited]},
      ]
    )
  )
  assert got.unknown["differ"] == 2
  assert got.examples["differ"] == [one]
  assert (got.pairs.passage == 0).sum() == 5  # ids count


@pytest.mark.parametrize("form", ["qid_pid", "tevatron", "flag"])
@pytest.mark.parametrize("rows", [1, 100])
def test_parquet_of_the_same_columns(tmp_path, found, form, rows):
  pyarrow = pytest.importorskip("pyarrow")
  from pyarrow import parquet

  records_ = [
    {k: str(v) if k in ("qid", "pid") else v for k, v in record.items()}
    for record in SAME[form]
  ]
  path = tmp_path / "scores.parquet"
  table = pyarrow.Table.from_pylist(records_)
  parquet.write_table(table, path, row_group_size=rows)
  assert plain(found(path).pairs) == SAID


@pytest.mark.parametrize("title_join", [". ", " ", "[SEP]"])
def test_written_texts_are_known_without_their_ids(tmp_path, found, title_join):
  items = [write.Item(p, False, 0.5, 0) for p in PASSAGES]
  path = tmp_path / "lists.jsonl"
  lists = [write.List(QUERIES[0], items)]
  write.json_lines(path, lists, title_join=title_join)
  line = json.loads(path.read_text())
  del line["neg_id"]
  assert "[SEP]" not in str(line)
  path.write_text(json.dumps(line) + "\n")
  assert plain(found(path).pairs) == [(0, row, 0.5) for row in range(3)]


def test_blocks_of_lines_are_read_in_their_order(file, found, monkeypatch):
  monkeypatch.setitem(read._BLOCK_LINES, "tsv", 1)
  assert plain(found(file(SAME["tsv"])).pairs) == SAID


def test_what_is_unknown_is_counted_and_named(file, found):
  lines = (
    "q1 10 1\nq9 10 1\nq8 10 1\nq9 p2 1\nq1 p9 1\nq1 1" + "0" * 50 + " 1\n"
  )
  got = found(file(lines))
  assert plain(got.pairs) == [(0, 0, 1.0)]
  assert got.unknown == {"queries": 3, "passages": 2}
  assert got.examples == {
    "differ": [],
    "queries": ["q9", "q8"],
    "passages": ["p9", "1" + "0" * 50],
  }
  texts = [{"query": "how is tea made", "pos": ["10", "nobody said this"]}]
  got = found(file(texts))
  assert plain(got.pairs) == [(0, 0, None)]
  assert got.examples["passages"] == ["“nobody said this”"]


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("q1 10 1\nq1 10\n", "scores:2: 2 columns, expected 3"),
    ("q1 10 1\nq1 10 high\n", "scores:2: score 'high' is not a number"),
    ("q1 10 1\nq1 10 nan\n", "scores:2: score 'nan' is not a number"),
    ('{"qid": "q1", "pid": "10"}\n{"qid"\n', "scores:2: no JSON"),
    ('{"qid": "q1", "pid": "10"}\n[1]\n', "scores:2: no JSON object"),
    ('{"qid": "q1", "pid": "10"}\n{"pid": "1"}\n', "scores:2: no query"),
    ('{"qid": "q1", "pid": "10"}\n{"qid": "1"}\n', "scores:2: no passage"),
    ('{"qid": "q1", "pid": "10", "score": "high"}', "scores:1: score 'high'"),
    ('{"qid": "q1", "pid": "10", "score": Infinity}', "scores:1: score inf"),
    (
      '{"query": "a", "pos": ["x"], "neg": ["y"], "neg_scores": [1, 2]}',
      "scores:1: 2 scores for 1 passages",
    ),
    (
      '{"query": "a", "positive": "x", "negative": "y", "score": 0.3}',
      "scores:1: 1 scores for 2 passages",
    ),
  ],
)
def test_a_fault_has_file_and_line_or_is_skipped(
  file, found, content, message, caplog
):
  path = file(content)
  with pytest.raises(DataError, match=message):
    found(path)
  with caplog.at_level("WARNING", logger="absl"):
    assert len(found(path, "skip").pairs.query) <= 1
  assert "skipped 1 lines" in caplog.text


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("", "is empty; expected a TREC run"),
    ("only\n", "1 columns; expected a TREC run"),
    ('[{"question": "a"}]\n', "a JSON list; expected"),
  ],
)
def test_no_known_format(file, content, message):
  with pytest.raises(DataError, match=message):
    layout.find(file(content), "")


@pytest.mark.parametrize(
  "above", ["", "\n", "scores of a teacher, made in May\n"]
)
def test_names_of_columns_may_stand_below_a_title(file, found, above):
  path = file(above + SAME["header"])
  assert layout.find(path, "").columns == (1, 0, 2)
  pairs = found(path, "skip").pairs
  assert pairs.score.tolist() == [2.5, 0.5, -1]
  assert pairs.passage.tolist() == [0, 1, 2]


@pytest.mark.parametrize("ranks", [(1, 2, 3), (0, 1, 2), (1, 4, 6)])
def test_ranks_of_ms_marcos_runs_are_no_scores(file, found, caplog, ranks):
  """The first passage would have the lowest one."""
  said = zip(("10", "p2", "p3"), ranks, strict=True)
  lines = "".join(f"q1 {name} {rank}\n" for name, rank in said) + "2 p3 1\n"
  pairs = found(file(lines)).pairs
  assert "its third column rises in whole numbers within each" in caplog.text
  assert plain(pairs) == [
    (0, 0, None),
    (0, 1, None),
    (0, 2, None),
    (1, 2, None),
  ]
  # Nor are scores ranks: by their name, by another order, or where few.
  for scores in ("qid pid score\n" + lines, lines + "2 p2 1\n", "q1 10 1\n"):
    found_scores = found(file(scores)).pairs.score
    assert found_scores[0] == (1 if scores == "q1 10 1\n" else ranks[0])


def test_a_format_that_is_not_there(file):
  path = file(SAME["tsv"])
  assert layout.find(path, "tsv") == layout.find(path, "")
  pickled = pickle.dumps({"q1": {"p2": 0.5}})
  for name, content, what in (
    ("scores.pkl", pickled, "pickled, which is not read; write its scores"),
    ("scores.pkl.gz", gzip.compress(pickled), "pickled, which is not read"),
    ("scores.npy", b"\x93NUMPY\1\0v\0", "no text, and not read"),
  ):
    (path.parent / name).write_bytes(content)
    with pytest.raises(DataError, match=what):
      layout.find(path.parent / name, "")
  with pytest.raises(DataError, match="looks like format 'tsv', not 'run'"):
    layout.find(path, "run")
  with pytest.raises(DataError, match="there is no such file"):
    layout.find(path.with_name("gone"), "")


def test_a_broken_parquet_file(tmp_path, found):
  pytest.importorskip("pyarrow")
  path = tmp_path / "cut.parquet"
  path.write_bytes(b"PAR1 and no more")
  with pytest.raises(DataError, match="cannot be read as parquet"):
    found(path)


def test_null_is_no_score():
  said = records.said({"qid": 1, "pid": 2, "score": None})
  assert math.isnan(said[0].score) and said[0].role == records.NEITHER


@pytest.mark.parametrize(
  ("scores", "kind", "saturated"),
  [
    ([0.0, 1.0, 0.5, 0.9995], "probability", 0.75),
    ([0.2, 0.3, 0.4], "cosine", 0.0),
    ([-0.2, 0.3, 0.4], "cosine", 2 / 3),
    ([-9.0, 3.0, 11.0, 11.0], "logit", 0.75),
  ],
)
def test_scale(scores, kind, saturated):
  found = scale.scale(np.array(scores, np.float32))
  assert found.kind == kind
  assert found.saturated == pytest.approx(saturated)
  assert found.mean == pytest.approx(np.mean(scores))
  assert (found.lowest, found.highest) == pytest.approx(
    (min(scores), max(scores))
  )


def test_a_logit_undoes_a_sigmoid():
  logits = np.array([-8, 0, 0.3, 5, np.nan], np.float32)
  back = scale.logit(1 / (1 + np.exp(-logits.astype(np.float64))))
  np.testing.assert_allclose(back, logits, atol=1e-4)
  assert np.abs(scale.logit(np.array([0.0, 1.0]))).max() < 13.9


def test_written_lines_are_read_again(tmp_path, found):
  lists = [
    write.List(
      QUERIES[0],
      [
        write.Item(PASSAGES[1], False, 0.5, 0),
        write.Item(PASSAGES[0], True, None, None),
      ],
    ),
    write.List(QUERIES[1], [write.Item(PASSAGES[2], True, None, None)]),
  ]
  path = tmp_path / "lists.jsonl"
  assert write.json_lines(path, lists, title_join=". ") == 2
  first, second = map(json.loads, path.read_text().splitlines())
  assert first == {
    "query_id": "q1",
    "query": "how is tea made",
    "pos": ["Kettle. boil water"],
    "pos_id": ["10"],
    "pos_scores": [None],
    "neg": ["pour it"],
    "neg_id": ["p2"],
    "neg_scores": [0.5],
  }
  assert "pos_scores" not in second
  assert sorted(plain(found(path).pairs)) == [
    (0, 0, None),
    (0, 1, 0.5),
    (1, 2, None),
  ]
  pytest.importorskip("pyarrow")
  path = tmp_path / "lists.parquet"
  assert write.parquet(path, lists) == 3
  assert plain(found(path).pairs) == [(0, 1, 0.5), (0, 0, None), (1, 2, None)]


def test_nobody_is_told_to_leave_out_the_line_that_says_the_format(tmp_path):
  path = tmp_path / "scores"
  path.write_bytes(b"q\xff\tp\t1\n")
  with pytest.raises(DataError, match="iconv") as error:
    layout.find(path, "")
  assert "on_error" not in str(error.value)
