"""The command that measures: its tables, its files and its refusals."""

import dataclasses
import json

import numpy as np
import pytest

from prod_jax import kinds, strict
from prod_jax.cli import arguments, measured
from prod_jax.cli import evaluate as command
from prod_jax.export import named, rankings
from prod_jax.report import changes, record
from tests import commands

DEV = [f"q{i}" for i in range(96, 104)]


def evaluate(*arguments):
  return commands.run("prod_jax.cli.evaluate", *map(str, arguments))


def write_run(path, right):
  """Each query finds its passage at the rank that is given, of three."""
  lines = []
  for query, rank in zip(DEV, right, strict=True):
    found = ["p1", "p2", "p3"]
    found[rank - 1 : rank] = [f"p{query[1:]}"]
    lines += [f"{query} Q0 {p} {i} {9 - i} t" for i, p in enumerate(found)]
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("\n".join(lines) + "\n")
  return path


def rows(path):
  head, *lines = [line.split("\t") for line in path.read_text().splitlines()]
  return [dict(zip(head, line, strict=True)) for line in lines]


def test_two_rankers_are_compared(finished_run, tmp_path):
  first = write_run(tmp_path / "first.trec", [1, 1, 2, 2, 2, 2, 2, 2])
  second = write_run(tmp_path / "second.trec", [2, 1, 1, 1, 1, 1, 1, 2])
  line = (
    first,
    f"better={second}",
    f"{finished_run}:ce",
    "--split=dev",
    "--compare",
    "--changed=2",
    "--metrics=mrr@10,recall@1",
    f"--per_query={tmp_path}/out/queries.tsv",
    f"--run={tmp_path}/out/run.trec",
    f"--cache_dir={tmp_path}/cache",
  )
  done = evaluate(*line)
  assert done.returncode == 0, done.stderr[-3000:]
  said = [line.split() for line in done.stdout.splitlines()]
  assert ["set,", "split", "dev,", "8", "queries"] in said
  assert ["system", "mrr@10", "recall@1"] in said
  assert ["first", "0.625", "0.250"] in said
  assert ["better", "0.875", "0.750"] in said
  assert "ce: the first 100 of first in another order" in done.stdout
  (compared,) = [line for line in said if line[:2] == ["better", "+0.250"]]
  assert compared[-3:] == ["5", "1", "2"]
  changed = done.stdout.split("better against first, what changed most:\n")[1]
  assert changed.startswith("+0.500  0.500 → 1.000  q100  ")
  assert changed.splitlines()[2] == ""
  found = json.loads(evaluate(*line, "--json").stdout)
  assert found.keys() > {"commit", "versions", "processor", "devices"}
  assert found["systems"]["better"]["mrr@10"] == {"value": 0.875, "queries": 8}
  better, ce = found["comparisons"]
  assert (better["system"], better["before"]) == ("better", "first")
  assert (better["wins"], better["losses"], better["equal"]) == (5, 1, 2)
  # Of 2**6 ways to change places 2 differ more, and 2 * 6 as much.
  assert better["p"] == pytest.approx(14 / 64)
  low, high = sorted([better["p"], ce["p"]])
  assert sorted([better["p_holm"], ce["p_holm"]]) == pytest.approx(
    sorted([min(2 * low, 1), max(min(2 * low, 1), high)])
  )
  queries = rows(tmp_path / "out" / "queries.tsv")
  assert len(queries) == 8 * 3
  (one,) = [
    r for r in queries if (r["query"], r["system"]) == ("q97", "better")
  ]
  assert (one["mrr@10"], one["recall@1"]) == ("1", "1")
  assert one["text"]
  left = {path.name for path in (tmp_path / "out").glob("*.trec")}
  assert left == {f"run.{name}.trec" for name in ("first", "better", "ce")}


def two_students(workdir):
  """Gives the run an evaluation of its student's first stage, too.

  An accept stage has kept that, and refused the later one.
  """
  record = json.loads((workdir / "curriculum.json").read_text())
  results = json.loads((workdir / "results.json").read_text())
  by_name = {stage["name"]: stage for stage in record["stages"]}
  for kind, role in (("encode", "params"), ("evaluate", "encoded")):
    name, read = f"{kind}_warm", {"encode": "warm"}.get(kind, "encode_warm")
    folder = f"{len(record['stages']):02d}-{name}"
    record["stages"].append(
      by_name[kind] | {"name": name, "dir": folder, "inputs": {role: read}}
    )
    settings = record["config"]["stages"][kind]
    record["config"]["stages"][name] = settings | {role: read}
  results += [
    row | {"stage": "evaluate_warm", "model_stage": "warm"} for row in results
  ]
  accept = {
    "name": "accept_student",
    "kind": "accept",
    "inputs": {"encoded": "encode", "before": "encode_warm"},
    "summary": {"accepted": "encode_warm", "refused": True},
  }
  record["stages"].append(by_name["evaluate"] | accept)
  (workdir / "curriculum.json").write_text(json.dumps(record))
  (workdir / "results.json").write_text(json.dumps(results))
  write_run(workdir / folder / "run.trec", [1, 1, 2, 2, 2, 2, 2, 2])
  (other,) = workdir.glob("*-evaluate/run.trec")
  write_run(other, [2, 1, 1, 1, 1, 1, 1, 2])


def test_beside_others_a_run_is_its_student(
  finished_run, tmp_path, monkeypatch
):
  found = []
  monkeypatch.setattr(measured, "_of_systems", lambda _, of: found.extend(of))
  words = [str(finished_run), f"a={finished_run}", f"--cache_dir={tmp_path}"]
  measured.run(arguments.parser_of(command).parse(words))
  student = f"{finished_run}:student"
  assert found == [("student", student), ("a", student)]


def test_a_curriculum_is_told_stage_by_stage(workdir, tmp_path):
  two_students(workdir)
  done = evaluate(workdir, "--compare", f"--per_query={tmp_path}/queries.json")
  assert done.returncode == 0, done.stderr[-3000:]
  assert "set, split dev, 8 queries" in done.stdout
  assert "refused by an accept stage: student\n" in done.stdout
  (line,) = [
    x for x in done.stdout.splitlines() if x.startswith("stage student")
  ]
  assert line.startswith(
    "stage student against warm: won 5, lost 1 queries, +0.250 ["
  )
  assert line.endswith(", p 0.2188")
  found = {
    r["query"]: r for r in json.loads((tmp_path / "queries.json").read_text())
  }
  assert list(found) == DEV
  assert found["q96"] == {
    "query": "q96",
    "warm": 1.0,
    "student": 0.5,
    "won_at": None,
    "gain": None,
    "lost_at": "student",
    "loss": -0.5,
    "text": found["q96"]["text"],
  }
  assert (found["q98"]["won_at"], found["q98"]["gain"]) == ("student", 0.5)


def test_kept_runs_are_measured_as_far_as_they_reach(workdir, caplog):
  two_students(workdir)
  left = record.load(workdir)
  assert changes.within(left, ["recall@20", "recall@21", "map"]) == [
    "recall@20",
    "map",
  ]
  assert (
    "recall@21: stage evaluate_warm has kept the first 20 passages of a query, "
    "and this looks further; it is left out"
  ) in caplog.text
  with pytest.raises(strict.ConfigError, match="further; give the stage a lar"):
    changes.within(left, ["recall@100"])
  for name in ("evaluate", "evaluate_warm"):
    left.stages[name].settings.update(rerank="ce", rerank_depth=5)
  assert changes.within(left, ["recall@5", "recall@20"]) == ["recall@5"]


def test_where_no_query_changed_none_is_named(capsys):
  values = {name: {"q1": 0.5} for name in ("a", "b")}
  compared = changes.against_first(values)
  measured._say_changed(3, values, compared, {"q1": "x"})
  assert capsys.readouterr().out == "\nb against a, no query changed\n"


def test_a_terminal_obeys_no_query(capsys):
  values = {"a": {"q\x1b": 0.0}, "b": {"q\x1b": 1.0}}
  found = changes.against_first(values)
  measured._say_changed(3, values, found, {"q\x1b": "red \x1b[31m \u202e"})
  said = capsys.readouterr().out
  assert "red" in said and not {"\x1b", "\u202e"} & {*said}


@pytest.mark.parametrize(
  ("grades", "relevant"),
  [({"a": 2, "b": 2}, 2), ({"a": 2, "b": 1}, 1), ({}, 1)],
)
def test_grades_count_as_in_the_runs_that_are_named(
  monkeypatch, grades, relevant
):
  def stages_of(workdir):
    asked = dict(kind="evaluate", encoded="encode")
    other = kinds.Evaluate(**asked, relevant=3)
    yield kinds.Encode(kind="encode", params="student")
    yield dataclasses.replace(other, relevant=grades[workdir], split="dl19")
    yield other

  monkeypatch.setattr(measured, "_stages_of", stages_of)
  parsed = named.parse(["bm25:english", *(f"{run}:student" for run in grades)])
  given = {"query_length": 8}
  assert measured._relevant_to(parsed, "dl19", given) == relevant
  assert measured._relevant_to(parsed, "dl19", given | {"path": "a"}) == 1


def test_lists_of_unlike_length_are_compared_as_far_as_both_go(caplog):
  def ranking(width):
    shape = (2, width)
    return rankings.Ranking(np.zeros(shape, np.int32), np.zeros(shape))

  names = ["mrr@10", "recall@50", "map"]
  measured._warn_of_lengths(names, {"a": ranking(40), "b": ranking(20)})
  assert (
    "recall@50, map: systems have unlike numbers of passages, a 40, b 20; "
    "compare them by a metric of the first 20"
  ) in caplog.text
  caplog.clear()
  measured._warn_of_lengths(names[:1], {"a": ranking(40), "b": ranking(20)})
  measured._warn_of_lengths(names, {"a": ranking(20), "b": ranking(20)})
  # What is behind the end of a list is no passage.
  padded = ranking(40)
  padded.ids_QK[:, 20:] = -1
  measured._warn_of_lengths(names, {"a": padded, "b": ranking(20)})
  assert not caplog.text


def test_a_refusal_is_a_line(finished_run, tmp_path):
  run = write_run(tmp_path / "a.trec", [1] * 8)
  with run.open("a") as file:
    file.write("q96 Q0 p1\n")
  workdir = f"{finished_run}:student"
  for words, message in {
    (run, "--split=dev", "--metrics=ndgc@5"): "--metrics: unknown metric",
    (
      f"{run}/../a b.trec",
      "--split=dev",
      f"--run={tmp_path}/out.trec",
    ): "--run: 'a b' has white space in it, by which",
    (run, workdir, "--split=dev"): f"{run}:25: 3 columns, expected query id",
    (workdir, "--split=dve"): "--split: set has no split 'dve'; it has train",
    (
      workdir,
      "--metrics=recall@200",
    ): "recall@200 looks further; set --depth=20",
    (finished_run,): "to compare, and 1 has one; let the evaluate stages",
    (finished_run, "--config.data.path=a"): "alone is compared on its own set",
    (): "SYSTEM… is missing; --help shows the flags",
  }.items():
    done = evaluate(*words, f"--cache_dir={tmp_path}/cache")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert message in done.stderr.splitlines()[-1]
    assert done.stdout == ""
