"""What is written is read back, in any order of lines that says nothing."""

import itertools
import json
import os

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from prod_jax import arrays, artefacts, config, run_files, strict
from prod_jax.batches import store
from prod_jax.models import hf, weights
from prod_jax.processes import Processes
from prod_jax.retrieval import runs
from prod_jax.sets import formats, ids, json_list, lines
from prod_jax.sets.foreign import records, write
from prod_jax.sets.records import DataError, Passage, Query
from prod_jax.train.writer import MetricsWriter
from tests.fuzz import of_runs
from tests.fuzz.readers_test import SETTINGS

# What UTF-8 can hold, without what divides columns and lines.
NAMES = st.text(
  st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")),
  min_size=1,
  max_size=8,
).filter(lambda name: name.split() == [name] and "\ufeff" not in name)
TEXTS = NAMES | st.lists(NAMES, min_size=1, max_size=4).map(" ".join)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
GRADES = st.dictionaries(
  NAMES, st.dictionaries(NAMES, st.integers(-9, 9), min_size=1), min_size=1
)
JSON = st.sampled_from(
  (None, True, 0, -1.5, "", "]", 'a"\\\n', [], [[1]], {"a": {"]": ","}})
)


def some(*of, **named):
  """A property of a few examples, the same in each run."""

  def wrap(test):
    fixed = hypothesis.settings(**SETTINGS, max_examples=20, derandomize=True)
    return fixed(hypothesis.given(*of, **named)(test))

  return wrap


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("written")


def test_a_run_is_read_as_it_was_written(folder):
  path = folder / "a.run"

  @some(
    st.dictionaries(NAMES, st.lists(FLOATS, max_size=4), min_size=1), st.data()
  )
  def same(scores, data):
    passages = data.draw(st.lists(NAMES, min_size=4, max_size=4, unique=True))
    ids_QK = np.full((len(scores), 4), -1)
    scores_QK = np.zeros((len(scores), 4), np.float32)
    for row, values in enumerate(scores.values()):
      ids_QK[row, : len(values)] = range(len(values))
      scores_QK[row, : len(values)] = values
    runs.write_run(
      path, [*scores], ids_QK, scores_QK, tag="t", name_of=passages.__getitem__
    )
    wanted = {
      query: dict(zip(passages, np.float32(values).tolist(), strict=False))
      for query, values in scores.items()
      if values
    }
    written = path.read_text(encoding="utf-8").splitlines()
    for text in (written, data.draw(st.permutations(written))):
      path.write_text("\n".join(text), encoding="utf-8")
      found = runs.read_run(path)
      assert {
        q: {p: float(np.float32(s)) for p, s in of.items()}
        for q, of in found.items()
      } == wanted

  same()


def test_judgements_are_read_as_they_were_written(folder):
  path = folder / "qrels.tsv"

  @some(GRADES, st.data())
  def same(grades, data):
    rows = [
      f"{query}\t0\t{passage}\t{grade}"
      for query, of in grades.items()
      for passage, grade in of.items()
    ]
    rows = data.draw(st.permutations(rows))
    odd = ["one", "q 0 p x", "\t", "a b c"]
    for added, on_error in (([], "raise"), (odd, "skip")):
      mixed = [rows[0], *data.draw(st.permutations([*rows[1:], *added]))]
      path.write_text("\r\n".join(mixed), encoding="utf-8")
      assert formats.read_qrels(path, on_error=on_error) == grades

  same()


def test_queries_are_read_as_they_were_written(folder):
  path = folder / "queries.tsv"

  @some(st.dictionaries(NAMES, TEXTS, min_size=1))
  def same(queries):
    text = "".join(f"{name}\t{text}\n" for name, text in queries.items())
    path.write_text(f"\ufeff{text}", encoding="utf-8")
    assert dict(formats.read_queries(path)) == queries

  same()


def test_blocks_of_a_file_have_all_of_its_lines(folder, monkeypatch):
  path = folder / "lines.tsv"

  @some(
    st.lists(st.sampled_from((b"a", b"\r\n", b"\n", b"", b"\xff", b"b\rc"))),
    st.integers(1, 4),
    st.integers(1, 9),
  )
  def same(parts, count, scanned):
    monkeypatch.setattr(lines, "_SCANNED_BYTES", scanned)
    path.write_bytes(b"".join(parts))
    faults = lines.Faults(path, "skip")
    blocks = lines.blocks_of(path, count, path)
    found = [lines.read_block(block, faults) for block in blocks]
    assert [*itertools.chain(*found)] == [*lines.read_lines(path, faults)]

  same()


def test_each_name_of_a_table_is_found(folder):
  @some(st.lists(NAMES, min_size=1, unique=True), NAMES)
  def found(names, other):
    ids.save(ids.table(names), folder, "dev")
    loaded = ids.load(folder, "dev")
    assert [loaded[name] for name in names] == [*range(len(names))]
    assert [*loaded] == names
    assert loaded.get(other, -1) == (
      names.index(other) if other in names else -1
    )
    asked = np.array([name.encode() for name in (*names, other)])
    assert loaded.rows(asked)[:-1].tolist() == [*range(len(names))]

  found()


@pytest.mark.parametrize("name", ["a\0", "\0", "a b", "", "x" * 3000])
def test_a_name_that_no_table_holds_is_refused(folder, name):
  path = folder / "queries.tsv"
  path.write_text(f"{name}\ttext\n")
  with pytest.raises(DataError, match=r"queries\.tsv:1: .*id"):
    [*formats.read_queries(path)]


def test_a_long_list_is_read_item_by_item(folder):
  path = folder / "list.json"

  @some(st.lists(JSON, max_size=4), st.sampled_from((None, 1)))
  def same(items, indent):
    path.write_text(json.dumps(items, indent=indent), encoding="utf-8")
    assert [item for _, item in json_list.read(path)] == items

  same()


def test_lists_for_other_trainers_say_what_we_read(folder):
  items = st.lists(
    st.tuples(NAMES, TEXTS, st.booleans(), FLOATS),
    min_size=1,
    max_size=4,
    unique_by=lambda item: item[0],
  )

  @some(NAMES, TEXTS, items)
  def same(name, text, listed):
    made = write.List(
      Query(name, text, ()),
      [
        write.Item(Passage(i, "", words), label, score, None)
        for i, words, label, score in listed
      ],
    )
    path = folder / "lists.jsonl"
    write.json_lines(path, [made], title_join=" ")
    (line,) = path.read_text(encoding="utf-8").split("\n")[:-1]
    said = records.said(json.loads(line))
    assert {one.query for one in said} == {records.Ref(name, text)}
    assert {(o.passage.id, o.passage.text, o.role, o.score) for o in said} == {
      (i, words, 1 if label else -1, score) for i, words, label, score in listed
    }

  same()


def test_rows_of_a_store_are_those_that_were_written(folder):
  rows = st.lists(st.lists(st.integers(0, 99_999), max_size=4), max_size=4)

  @some(rows, st.sampled_from((1 << 16, 100_000)))
  def same(rows, vocab_size):
    wanted = [[n % vocab_size for n in row] for row in rows]
    texts = [np.array(row, np.int32) for row in wanted]
    for _ in range(2):  # written, then opened
      found = store.build_store(
        folder / "texts",
        texts,
        list,
        rows=len(texts),
        vocab_size=vocab_size,
        key={"of": wanted},
      )
      assert [found[row].tolist() for row in range(len(found))] == wanted

  same()


def test_an_array_is_read_as_it_was_written(folder):
  path = folder / "a.npy"
  shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)

  @some(shapes, st.sampled_from(("<f4", "<i8", "|b1", "|S5", "<f2")))
  def same(shape, kind):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(kind)
    path.write_bytes(of_runs.array(array))
    for mapped in (False, True):
      found = arrays.read(path, mapped=mapped)
      assert found.dtype == array.dtype
      np.testing.assert_array_equal(found, array)

  same()


def test_tensors_are_read_as_they_were_written(folder):
  path = folder / "a.safetensors"

  @some(st.dictionaries(NAMES, st.lists(FLOATS, min_size=1), min_size=1))
  def same(values):
    hf.save_params(path, {n: np.float32(v) for n, v in values.items()})
    with weights.opened(path) as file:
      found = {name: file.read(name).tolist() for name in file.names}
    assert found == {n: np.float32(v).tolist() for n, v in values.items()}

  same()


def test_any_change_of_a_file_is_seen(folder):
  place = folder / "stage"
  place.mkdir()

  @some(st.binary(min_size=1, max_size=30), st.data())
  def seen(content, data):
    path = place / "made"
    path.write_bytes(content)
    recorded = artefacts.record(place, but=())
    assert not artefacts.damage(place, json.loads(json.dumps(recorded)))
    at = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[at] ^= data.draw(st.integers(1, 255))
    for other in (bytes(changed), content[:at], content + b"x"):
      path.write_bytes(other)
      os.utime(path, ns=(1, 1))
      assert set(artefacts.damage(place, recorded)) == {"made"}

  seen()


def test_metrics_are_read_as_they_were_written(tmp_path_factory):
  @some(st.lists(st.tuples(st.integers(0, 5), FLOATS), max_size=5), st.binary())
  def same(rows, torn):
    place = tmp_path_factory.mktemp("metrics")
    (place / "metrics.jsonl").write_bytes(torn)
    before = len(run_files.metrics(place))
    hypothesis.assume(not before)
    writer = MetricsWriter(place, Processes(place))
    for step, loss in rows:
      writer.write(step, {"loss": loss})
    writer.close()
    wanted = {step: float(f"{loss:.8g}") for step, loss in rows}
    assert {
      row["step"]: row["loss"] for row in run_files.metrics(place)
    } == wanted

  same()


def test_a_config_is_its_own_description():
  @some(st.integers(0, 2**31 - 1), st.integers(1, 99), TEXTS, st.booleans())
  def same(seed, length, join, packed):
    raw = json.loads(json.dumps(of_runs.CONFIG))
    raw["seed"] = seed
    raw["data"] |= {
      "query_length": length,
      "title_join": join,
      "packed": packed,
    }
    found = strict.section(config.Config, raw, "config")
    again = json.loads(json.dumps(strict.plain(found)))
    assert strict.section(config.Config, again, "config") == found

  same()


def test_a_number_out_of_its_range_names_its_key():
  @some(st.integers() | st.floats())
  def named(value):
    raw = {**of_runs.CONFIG, "data": {"query_length": value}}
    if type(value) is int and 1 <= value < 2**31:
      assert strict.section(config.Config, raw, "config")
      return
    with pytest.raises(strict.ConfigError, match=r"config\.data\.query_length"):
      strict.section(config.Config, raw, "config")

  named()
