"""The arithmetic of benchmarks/ and its page, on figures that are made up."""

import ast
import importlib
import json
import pathlib
import time
import xml.etree.ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import (
  corpus,
  figures,
  operators,
  page,
  plot,
  rows,
  run,
  scaling,
  side,
  tables,
)
from prod_jax.models.families import FAMILIES

FOLDER = pathlib.Path(run.__file__).parent
MACHINE = {
  "processor": "a processor",
  "cores": 4,
  "threads": 2,
  "memory_gib": 8.0,
  "system": "Linux",
}


def runs_of(**pieces):
  """{piece: {side: [{key: value}, …]}} of lists of numbers."""
  return {
    name: {
      at: [{"rate": value} for value in values] for at, values in sides.items()
    }
    for name, sides in pieces.items()
  }


def row(**changes):
  at = (
    rows.Value("encode", "ours", "rate"),
    rows.Value("encode", "peer", "rate"),
  )
  settings = {"goal": 1.2, "better": "higher", "ours": at[0], "peer": at[1]}
  return rows.Row("encode", "texts", "1/s", **(settings | changes))


def test_ratio_is_the_median_of_the_rounds_ratios():
  runs = runs_of(encode={"ours": [10, 40, 90], "peer": [10, 20, 30]})
  found = rows.result(row(), runs)
  assert found["ratio"] == 2 and found["spread"] == [1, 3]
  assert found["rounds_reached"] == 2
  assert (found["ours"], found["peer"], found["rounds"]) == (40, 20, 3)
  # The ratio of medians would have been another one here.
  runs = runs_of(encode={"ours": [10, 40, 90], "peer": [1, 40, 30]})
  assert rows.result(row(), runs)["ratio"] == 3


@pytest.mark.parametrize(
  ("goal", "better", "reached"),
  [
    (2.0, "higher", True),
    (2.1, "higher", False),
    (2.0, "lower", True),
    (1.9, "lower", False),
  ],
)
def test_goals_are_read_by_their_direction(goal, better, reached):
  runs = runs_of(encode={"ours": [40], "peer": [20]})
  found = rows.result(row(goal=goal, better=better), runs)
  assert found["reached"] == reached
  assert (rows.times_goal(found, found["ratio"]) >= 1) == reached


def test_a_condition_beside_the_ratio():
  runs = runs_of(encode={"ours": [40], "peer": [20]})
  recall = rows.Value("encode", "ours", "recall")
  for value, reached in ((0.96, True), (0.94, False)):
    runs["encode"]["ours"][0]["recall"] = value
    found = rows.result(row(least=(recall, 0.95)), runs)
    assert found["recall"] == value and found["reached"] == reached


def test_a_side_that_is_missing_makes_no_row():
  assert rows.result(row(), runs_of(encode={"ours": [1], "peer": []})) is None
  assert rows.result(row(), {}) is None


def test_rows_name_sides_that_pieces_have():
  sides = {(p.module, name) for p in rows.PIECES for name in p.sides}
  for found in rows.ROWS:
    values = [found.ours, found.peer, *(found.least or ())[:1]]
    assert {(v.piece, v.side) for v in values} <= sides
  for piece in rows.PIECES:
    module = importlib.import_module(f"benchmarks.{piece.module}")
    assert {*piece.sides, *piece.rehearsed} <= set(module.SIDES)
    for same in piece.same:
      assert {same.first, same.second} <= set(piece.sides)


def test_sides_that_do_not_agree_stop_the_run(tmp_path):
  same = rows.Same("ours", "peer", "numbers")

  def leave(ours, peer):
    for name, values in (("ours", ours), ("peer", peer)):
      np.save(side.proof(tmp_path, "encode", name), np.array(values))

  leave([1.0, 1000.0], [1.00005, 1000.05])
  apart = run.compare("encode", same, tmp_path)
  assert apart == pytest.approx(5e-5, rel=1e-3)
  leave([1.0], [1.001])
  with pytest.raises(SystemExit, match="do not agree"):
    run.compare("encode", same, tmp_path)


def test_mined_rows_agree_in_any_order(tmp_path):
  same = rows.Same("ours", "peer", "rows")
  lists = np.arange(200).reshape(2, 100)
  np.save(side.proof(tmp_path, "mine", "ours"), lists)
  np.save(side.proof(tmp_path, "mine", "peer"), lists[:, ::-1])
  assert run.compare("mine", same, tmp_path) == 0
  lists[0, :10] = -1
  np.save(side.proof(tmp_path, "mine", "ours"), lists)
  with pytest.raises(SystemExit, match="do not agree"):
    run.compare("mine", same, tmp_path)


def test_sides_take_turns_and_the_worst_round_is_kept(tmp_path, monkeypatch):
  called, ours = [], iter([1.0, 1.00005, 1.00001])

  def measured(piece, name, cache):
    called.append(name)
    value = {"ours": lambda: next(ours), "peer": lambda: 1.0}.get(name)
    if value:
      np.save(side.proof(cache, piece.module, name), np.array([value()]))
    return {"seconds": 1.0, "others": 0.0}

  monkeypatch.setattr(run, "_run", measured)
  same = (rows.Same("ours", "peer", "numbers"),)
  piece = rows.Piece("encode", ("ours", "peer"), 3, ("tune",), same)
  runs, apart = run.measure(piece, tmp_path, 5)
  assert called == ["tune", "ours", "peer", "peer", "ours", "ours", "peer"]
  assert len(runs["ours"]) == len(runs["peer"]) == 3
  assert apart == {"ours": pytest.approx(5e-5, rel=1e-3)}


def test_a_clock_adds_up_and_leaves_the_rest(monkeypatch):
  now = iter(range(100))
  monkeypatch.setattr(time, "perf_counter", lambda: next(now))
  clock = side.Clock()
  call = clock.timed("part", lambda x: x)
  assert [call(1), call(2)] == [1, 2]
  assert [*zip(clock.items("input", iter("ab")), "ab", strict=False)]
  assert clock.shares(10)["part"] == 0.2
  assert sum(clock.shares(10).values()) == pytest.approx(1)


def test_a_query_of_the_corpus_follows_its_passage(monkeypatch):
  monkeypatch.setattr(corpus, "PASSAGES", 6)
  monkeypatch.setattr(corpus, "QUERIES", 6)
  passages, queries = corpus.chosen([str(i) for i in range(20)])
  assert len(passages) == 6 and len(queries) == 6
  for _, text, (positive,) in queries:
    assert int(passages[positive]) == int(text) - 1
  with pytest.raises(ValueError, match="hold 3 texts"):
    corpus.chosen(["a", "b", "c"])


def test_only_searches_wait_for_the_corpus(tmp_path, monkeypatch):
  called = []
  monkeypatch.setattr(run, "_call", lambda *words: called.append(words[2:]))
  for piece in rows.PIECES:
    run._prepare(tmp_path, "", piece.reads_corpus)
    asked = "--corpus" in called[-1]
    assert asked == (piece.module in ("mine", "search"))


def test_scaling_is_the_median_of_each_size():
  """Where the size that costs most is another one in each round."""
  sizes = ({2: 1.0, 4: 2.4, 8: 4.0, 16: 8.0}, {2: 1.0, 4: 2.0, 8: 6.0, 16: 8.0})
  steps = [scaling.against_linear(found) for found in sizes]
  runs = {"scaling": {"step": steps}}
  made = {row.name: rows.result(row, runs) for row in rows.ROWS}
  assert made["scale_step_2"]["ratio"] == pytest.approx(1.1)
  assert made["scale_step_4"]["ratio"] == pytest.approx(1.25)
  assert made["scale_step_8"]["ratio"] == 1
  for at in steps:
    at["sizes"] = {str(size): took for size, took in at["sizes"].items()}
    at["kernel"] = {"2": 0.1, "4": 1.0}
  text = tables.sizes(figures.Measured(runs))
  assert "| queries of a step | 4 | 2.20 | 550.0 | 250.0 |" in text
  assert "| queries of a step | 8 | 5.00 | 625.0 |  |" in text


def results():
  """Two rows, one of which misses its goal."""
  measured = {
    "search": {
      name: [{"rate": rate, "seconds": 1.0, "recall": 0.97, "kind": "scann"}]
      for name, rate in (("exact", 900.0), ("faiss", 1000.0), ("scann", 9900.0))
    }
  }
  for found in measured["search"].values():
    found[0] |= {"built_seconds": 2.0, "others": 0.25, "flops_a_query": 2e8}
  measured["search"]["exact"][0] |= {
    "multiplied_in": "bfloat16",
    "operators": {
      "products": 0.75,
      "largest": "fusion",
      "largest_share": 0.2,
    },
  }
  made = (rows.result(row, measured) for row in rows.ROWS)
  return {
    "machine": MACHINE,
    "versions": {"python": "3.11"},
    "data": "pydocs",
    "rows": [found for found in made if found],
    "runs": measured,
    "same": {"search": {"exact": 2e-6}},
    "measured": {"search": {"day": "2026-01-02", "commit": "abc"}},
  }


def test_the_page_has_what_was_measured_and_what_is_missed():
  text = page.page([results()])
  assert "| processor | a processor |" in text and "| cores | 4 |" in text
  assert "| day and commit | 2026-01-02 at abc: search |" in text
  assert "median and most | 0.25, 0.25 |" in text
  assert "| **0.90** | 0.90 … 0.90 | ≥ 1.2 | not reached, 0 of 1 |" in text
  assert "≥ 10, recall of 0.95 at least | reached, 1 of 1 |" in text
  assert "| scann | 9,900 | 2.00 | 0.970 |" in text
  assert (
    "| search | exact | bfloat16 | 180 |  | 75 % | `fusion` | 20 % |" in text
  )
  assert "| search | exact, faiss | numbers | 2e-06 |" in text
  assert "| distil |" not in text and "### Scaling" not in text


def test_the_page_of_a_part_has_what_was_measured():
  found = results()
  lone = {"rate": 2e6, "tokenised_a_second": 1e5, "others": 0.0}
  found |= {"runs": {"pipeline": {"ours": [lone]}}, "rows": []}
  text = page.page([found])
  assert "by the tokenizer | 100,000 |" in text
  assert "| goal |" not in text and "| scann |" not in text


def test_the_page_has_each_form_of_a_student():
  form = {"rate": 1200.0, "others": 0.0, "bytes": 2.5e6, "difference": 2e-7}
  found = results()
  found |= {"runs": {"export": {"ours_int8": [form]}}, "rows": []}
  assert "| ours_int8 | 1,200 | 2.5 | 2e-07 |" in page.page([found])


def test_each_processor_has_its_tables():
  other = results()
  other["machine"] = {**MACHINE, "processor": "another one"}
  other["versions"] = {"python": "3.13"}
  del other["measured"]
  text = page.page([results(), other])
  assert text.index("## a processor") < text.index("## another one")
  assert "| python | 3.11 | 3.13 |" in text
  assert "| 2026-01-02 at abc: search |  |" in text
  assert text.count("| exact | exact search") == 2


def test_what_is_written_is_of_the_results_that_are_kept():
  for path, text in page.files().items():
    assert path.read_text() == text, f"python -m benchmarks.page: {path}"


def test_the_prose_names_each_goal_that_is_missed():
  prose = (page.DOCS / "BENCHMARKS.md").read_text()
  _, missed = prose.split("## Goals that are missed")
  missed, *_ = missed.split("\n## ")
  for found in page.results():
    for row in found["rows"]:
      if not row["reached"]:
        assert f"`{row['name']}`" in missed, found["machine"]["processor"]


def test_results_of_another_processor_are_kept(tmp_path, monkeypatch):
  path = tmp_path / "results.json"
  monkeypatch.setattr(run, "RESULTS", path)
  path.write_text(json.dumps(results()))
  found = json.loads(path.read_text())
  about = {key: found[key] for key in ("machine", "versions")}
  assert run._before(about, "pydocs") == found
  # On the same processor what another version measured is of no more use.
  newer = {**about, "versions": {"python": "3.14"}}
  assert run._before(newer, "pydocs")["rows"] == [] and path.exists()
  machine = {**MACHINE, "processor": "another one"}
  assert run._before({**about, "machine": machine}, "pydocs")["runs"] == {}
  kept = tmp_path / "results-a-processor.json"
  assert json.loads(kept.read_text()) == found and not path.exists()
  # Back on the first one, each processor has one file.
  other = {**found, "machine": machine}
  path.write_text(json.dumps(other))
  assert run._before(about, "pydocs") == found
  assert json.loads(path.read_text()) == found and not kept.exists()
  left = tmp_path / "results-another-one.json"
  assert json.loads(left.read_text()) == other


@pytest.mark.parametrize(
  ("dtype", "share"), [("float32", "90 %"), ("bfloat16", "60 %")]
)
def test_rates_are_held_against_the_peak_of_their_precision(dtype, share):
  runs = runs_of(peak={"xla": [200], "xla_bfloat16": [300], "torch": [400]})
  runs |= {"search": results()["runs"]["search"]}
  runs["search"]["exact"][0]["multiplied_in"] = dtype
  text = tables.products(figures.Measured(runs))
  assert f"| search | exact | {dtype} | 180 | {share} |" in text
  assert "| search | faiss | float32 | 200 | 50 % |" in text


def test_a_training_step_is_three_forward_passes():
  step = {"ours": [{"tokens": 1000, "seconds": 2.0}]}
  m = figures.Measured({name: step for name in figures.PASSES})
  assert m.gflops("encode", "ours") == 6 * 24 * 384**2 * 500 / 1e9
  assert m.gflops("distil", "ours") == 3 * m.gflops("encode", "ours")
  # Of the last layer keys and values, 4 D^2 of 24 D^2.
  assert m.gflops("rerank", "ours") == (5 * 24 + 4) * 384**2 * 500 / 1e9


@pytest.mark.parametrize(
  ("share", "words"),
  [(0.0361, "3.6 %"), (0.994, "99 %"), (0.9968, "99.6 %"), (1.0, "100 %")],
)
def test_nearly_all_is_not_all(share, words):
  assert figures.percent(share) == words


def test_generations_of_processors_have_names_of_their_own():
  about = {"model name": "A", "cpu family": "25", "model": "17"}
  assert run._processor(about) == "A, family 25, model 17"
  assert run._processor({"model name": "Neoverse"}) == "Neoverse"
  assert run._processor({})


def test_operators_of_a_product_are_told_from_the_others():
  seconds = {"ynn_fusion": 2.0, "dot": 1.0, "add_fusion": 0.6, "copy": 0.4}
  assert operators.shares(seconds, operators._XLA_PRODUCT) == {
    "products": 0.75,
    "largest": "add_fusion",
    "largest_share": 0.15,
  }
  names = ["mm", "addmm", "bmm", "_scaled_dot_product_flash_attention_for_cpu"]
  seconds = dict.fromkeys([f"aten::{name}" for name in names], 1.0)
  seconds |= {"aten::gelu": 3.0, "aten::add": 1.0}
  assert operators.shares(seconds, operators._TORCH_PRODUCT) == {
    "products": 0.5,
    "largest": "aten::gelu",
    "largest_share": 0.375,
  }


def test_the_profiler_names_what_xla_runs():
  product = jax.jit(lambda a, b: jnp.sort(a @ b, axis=0))
  a, b = jnp.ones((256, 512)), jnp.ones((512, 256))
  product(a, b).block_until_ready()
  found = operators.xla(lambda: product(a, b).block_until_ready())
  assert 0 < found["products"] < 1 and 0 < found["largest_share"] < 1
  assert "sort" in found["largest"]


def test_the_plot_is_an_image_with_a_dot_a_round():
  found = results()["rows"]
  image = xml.etree.ElementTree.fromstring(plot.picture(found))
  names = [element.tag.rsplit("}")[-1] for element in image.iter()]
  assert names.count("circle") == sum(row["rounds"] for row in found)
  words = " ".join(element.text or "" for element in image.iter())
  assert "11 x (goal ≥ 10)" in words
  bars = [x for x in image.iter() if x.get("class") in ("reached", "missed")]
  assert [bar.get("class") for bar in bars] == ["missed", "reached"]


def test_calls_into_measured_packages_stand_in_few_files():
  for path in FOLDER.glob("*.py"):
    tree = ast.parse(path.read_text())
    found = {
      name.split(".")[0]
      for node in ast.walk(tree)
      for name in (
        [alias.name for alias in node.names]
        if isinstance(node, ast.Import)
        else [node.module or ""]
        if isinstance(node, ast.ImportFrom)
        else []
      )
    }
    if path.name not in ("peer.py", "peer_export.py", "study_peer.py"):
      assert "sentence_transformers" not in found, path
    ours = "ours.py", "ours_train.py", "ours_export.py", "ours_gpu.py"
    if path.name not in (
      *ours,
      "families.py",
      "journey.py",
      "long_page.py",
      "study.py",
      "study_figures.py",
      "study_page.py",
      "study_peer.py",
      "study_split.py",
      "texts.py",
      "plot.py",
      "peer.py",
    ):
      assert "prod_jax" not in found, path


def test_the_page_of_families_has_all_of_them_and_all_are_close():
  page = (FOLDER.parent / "docs" / "FAMILIES.md").read_text()
  lines = [line.strip("| ").split(" | ") for line in page.splitlines()]
  table = {line[0]: line[1:] for line in lines if len(line) > 1}
  titles = table.pop("family")
  assert titles == ["in", "packed", "bf16", "sharded", "export", "head"]
  assert table.keys() == FAMILIES.keys() | {"ernie"}  # which is read as a BERT
  for name, cells in table.items():
    for title, cell in zip(titles, cells, strict=True):
      most = 0.03 if title == "bf16" else 1e-5
      assert float(cell) < most, (name, title)
