"""What of a run is kept as a list."""

import pathlib
import types

import numpy as np
import pytest

from prod_jax import config_file, kinds, strict
from prod_jax.batches.lists import Candidates, load_lists
from prod_jax.processes import Processes
from prod_jax.retrieval import encode
from prod_jax.sets.copies import Copies
from prod_jax.sets.passages import smallest_hashes
from prod_jax.sets.records import Passage
from prod_jax.stages import mine
from prod_jax.stages.run import Job, Run

REPO = pathlib.Path(__file__).parents[2]
NO_COPIES = Copies(*np.empty((3, 0), int))


@pytest.fixture
def mined(tmp_path):
  """A function that mines for one query, whose rank k is passage 9 - k.

  Passages 6 and 1 are labelled; 8 and 2 contain its answer.
  """
  encoded = tmp_path / "encoded"
  scores = np.arange(10, dtype=np.float32)[:, None]
  processes = Processes(tmp_path)
  encode.encode_passages(
    encoded / "passages",
    lambda start, stop, pieces: scores[start:stop],
    10,
    10,
    processes=processes,
    name="toy",
  )
  np.save(encoded / "queries-train.npy", np.ones((1, 1), np.float32))
  config = config_file.load(str(REPO / "configs" / "quickstart.py"))
  run = Run(config, processes)
  copies: list = []
  own: list = []
  labels: list = []
  texts = ["yes" if row in (8, 2) else "no" for row in range(10)]
  run.__dict__["dataset"] = types.SimpleNamespace(
    positive_rows=lambda split: [*labels],
    copies_of=lambda split: Copies(*np.array([*copies], int).reshape(-1, 3).T),
    own_rows=lambda split: np.array(own) if own else None,
    answers=lambda split: [("Yes",)],
    passages=[Passage(str(i), "", text) for i, text in enumerate(texts)],
  )

  def made(copied=(), labelled=(6, 1), own_document=None, **settings):
    copies[:] = copied
    own[:] = [] if own_document is None else [own_document]
    labels[:] = [labelled]
    stage = kinds.Mine(kind="mine", encoded="encoded", depth=6, **settings)
    folder = tmp_path / "mined"
    mine.run(Job(run, "mined", stage, {"encoded": encoded}, folder))
    lists = load_lists(Candidates, folder / "candidates")
    there = lists.ids[0] >= 0
    return [
      (int(i), int(rank), bool(label))
      for i, rank, label in zip(
        lists.ids[0][there],
        lists.rank[0][there],
        lists.label[0][there],
        strict=True,
      )
    ]

  return made


def test_the_whole_run_and_the_positive_that_it_missed(mined):
  assert mined() == [
    (9, 0, False),
    (8, 1, False),
    (7, 2, False),
    (6, 3, True),
    (5, 4, False),
    (4, 5, False),
    (1, -1, True),
  ]


def test_the_first_negatives_with_the_ranks_of_the_whole_run(mined):
  assert mined(negatives=2) == [
    (9, 0, False),
    (8, 1, False),
    (6, 3, True),
    (1, -1, True),
  ]


def test_a_passage_with_an_answer_is_no_negative(mined):
  """Of those that were retrieved; the gold one comes first."""
  assert mined(negatives=2, relevance="answers") == [
    (6, 3, True),
    (9, 0, False),
    (8, 1, True),
    (7, 2, False),
    (1, -1, True),
  ]


def test_the_own_document_of_a_query_is_no_candidate(mined, caplog):
  """It takes no rank, and the list is as deep as without it."""
  with caplog.at_level("INFO", logger="absl"):
    found = mined(own_document=8)
  assert found[:3] == [(9, 0, False), (7, 1, False), (6, 2, True)]
  assert [row for row, rank, _ in found if rank >= 0] == [9, 7, 6, 5, 4, 3]
  assert "mined: the own document of 1 queries is not in their" in caplog.text


def test_a_copy_of_a_positive_is_no_candidate(mined, caplog):
  """It takes no rank: what is behind it moves up."""
  with caplog.at_level("INFO", logger="absl"):
    assert mined([(0, 8, 6)]) == [
      (9, 0, False),
      (7, 1, False),
      (6, 2, True),
      (5, 3, False),
      (4, 4, False),
      (1, -1, True),
    ]
  assert "mined: left out 1 passages with the text of a labelled" in caplog.text


def test_another_negative_comes_in_the_place_of_a_copy(mined):
  assert mined([(0, 8, 6)], negatives=2) == [
    (9, 0, False),
    (7, 1, False),
    (6, 2, True),
    (1, -1, True),
  ]


POSITIVES = [(3,), (), (7, 1, 0, 11), (2, 5), (9,), (4, 8), (6,)]


@pytest.fixture
def mined_of_seven(tmp_path):
  """A function that mines for seven queries, and their scores [7, 12].

  It returns the lists and what the stage says.
  """
  rng = np.random.default_rng(0)
  passages, queries = rng.normal(size=(2, 12, 4)).astype(np.float32)
  processes = Processes(tmp_path)
  encode.encode_passages(
    tmp_path / "encoded" / "passages",
    lambda start, stop, pieces: passages[start:stop],
    12,
    5,
    processes=processes,
    name="toy",
  )
  np.save(tmp_path / "encoded" / "queries-train.npy", queries)
  run = Run(
    config_file.load(str(REPO / "configs" / "quickstart.py")), processes
  )
  run.__dict__["dataset"] = types.SimpleNamespace(
    positive_rows=lambda split: POSITIVES,
    copies_of=lambda split: NO_COPIES,
    queries={"train": [types.SimpleNamespace(id=f"q{i}") for i in range(7)]},
    own_rows=lambda split: None,
  )

  def made(name, **settings):
    stage = kinds.Mine("mine", "encoded", block_queries=2, **settings)
    inputs = {"encoded": tmp_path / "encoded"}
    said = mine.run(Job(run, "mined", stage, inputs, tmp_path / name))
    return load_lists(Candidates, tmp_path / name / "candidates"), said

  return made, queries[:7] @ passages.T


@pytest.mark.parametrize("depth", [3, 15])
def test_lists_are_those_of_a_loop_over_queries(mined_of_seven, depth):
  """Of unlike numbers of positives, in blocks, deeper than the collection."""
  made, scores = mined_of_seven
  lists, _ = made("mined", depth=depth, limit=5)
  assert set(lists.query) < {0, 2, 3, 4, 5, 6} and len(lists.query) == 5
  for at, query in enumerate(lists.query.tolist()):
    score = scores[query]
    found = np.argsort(-score)[:depth].tolist()
    missed = [row for row in POSITIVES[query] if row not in found]
    there = lists.ids[at] >= 0
    ids = lists.ids[at][there]
    assert ids.tolist() == found + missed
    assert lists.rank[at][there].tolist() == [
      *range(len(found)),
      *[-1] * len(missed),
    ]
    assert lists.label[at].tolist() == [
      row in POSITIVES[query] for row in lists.ids[at]
    ]
    np.testing.assert_allclose(lists.score[at][there], score[ids], rtol=1e-5)
    assert np.isnan(lists.score[at][~there]).all()
    if depth < 12:  # padding comes last
      assert not there[len(ids) :].any()


def test_lists_whose_first_positive_is_elsewhere_are_left_out(mined_of_seven):
  made, scores = mined_of_seven
  order = np.argsort(-scores, axis=1)
  first = [
    int(np.isin(order[query], rows).argmax()) if rows else -1
    for query, rows in enumerate(POSITIVES)
  ]
  kept = [q for q, rank in enumerate(first) if 2 <= rank <= 5 or rank < 0]
  assert 1 in kept and 2 < len(kept) < 6
  whole, said = made("whole", depth=8, queries="all")
  assert "left_out" not in said
  ranks = dict(positive_from=2, positive_to=5)
  some, told = made("some", depth=8, queries="all", **ranks)
  assert some.query.tolist() == kept
  for of_some, of_whole in zip(some, whole, strict=True):
    np.testing.assert_array_equal(of_some, of_whole[kept])
  assert told == said | {"lists": len(kept), "left_out": 7 - len(kept)}


@pytest.mark.parametrize("queries", ["unlabelled", "all"])
def test_a_query_without_labels_has_what_was_retrieved(mined, queries):
  wanted = [(9 - rank, rank, False) for rank in range(6)]
  assert mined(labelled=(), queries=queries) == wanted


@pytest.mark.parametrize(
  ("labelled", "queries"), [((), "labelled"), ((6, 1), "unlabelled")]
)
def test_a_split_without_such_queries(mined, labelled, queries):
  with pytest.raises(
    strict.ConfigError, match=f"queries is '{queries}', and of the 1 queries"
  ):
    mined(labelled=labelled, queries=queries)


def test_a_limit_takes_queries_with_labels_and_without(tmp_path):
  """Those without stand behind the others; the choice is by name."""
  config = config_file.load(str(REPO / "configs" / "quickstart.py"))
  run = Run(config, Processes(tmp_path))
  queries = [types.SimpleNamespace(id=f"q{i}") for i in range(40)]
  run.__dict__["dataset"] = types.SimpleNamespace(queries={"train": queries})
  rows = np.arange(40, dtype=np.int32)

  def limited(limit):
    stage = kinds.Mine(kind="mine", encoded="e", depth=6, limit=limit)
    return mine._limited(Job(run, "mined", stage, {}, tmp_path), rows)

  some = limited(10)
  assert len(some) == 10 and (np.diff(some) > 0).all()
  assert (some < 20).any() and (some >= 20).any()
  assert set(some) <= set(limited(20))
  assert limited(0) is rows and limited(40) is rows
  # Who keeps a label is chosen by name, too, and is not who is mined.
  names = [query.id.encode() for query in queries]
  assert set(smallest_hashes(names, range(40), 10)) != set(some)


@pytest.mark.parametrize(("first", "last"), [(3, 3), (1, 14)])
def test_a_list_whose_positive_is_there_is_kept(mined, caplog, first, last):
  """The first positive, passage 6, has rank 3."""
  with caplog.at_level("INFO", logger="absl"):
    found = mined(positive_from=first, positive_to=last)
  assert (6, 3, True) in found
  assert "mined: left out 0 of 1 lists" in caplog.text


def test_a_list_whose_positive_is_elsewhere_is_left_out(mined):
  with pytest.raises(strict.ConfigError, match=r"of 1 lists none .* 1 to 2"):
    mined(positive_from=1, positive_to=2)


@pytest.mark.parametrize(
  ("changes", "fault"),
  [
    (dict(positive_from=2), "positive_from=2 is behind positive_to=0"),
    (dict(positive_from=3, positive_to=2), "is behind positive_to=2"),
    (
      dict(positive_from=6, positive_to=9),
      "behind the last rank of depth=6, which is 5",
    ),
    (dict(queries="unlabelled", positive_to=3), "queries='unlabelled' have"),
  ],
)
def test_ranks_that_no_positive_has_are_refused(tmp_path, changes, fault):
  config = config_file.load(str(REPO / "configs" / "quickstart.py"))
  stage = kinds.Mine("mine", "encode_student_warm", depth=6, **changes)
  job = Job(Run(config, Processes(tmp_path)), "mined", stage, {}, tmp_path)
  with pytest.raises(strict.ConfigError, match=fault):
    mine.check(job)
