"""The figures of a study and their page, on values that are made up."""

import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree

import numpy as np
import pytest

from benchmarks import study, study_figures, study_page
from prod_jax import significance, strict
from prod_jax.report.markup import render
from tests.commands import REPO
from tests.export import made as made_by_hand

ORIGIN = {
  "seed": 3,
  "config_hash": "c" * 64,
  "commit": "a" * 40,
  "versions": {"python": "3.11.2", "jax": "0.10.2"},
  "processor": "a CPU, 2 cores",
}
ARMS = {"mined": 0.4, "ce": 0.45, "prod": 0.6}


def values(mean, seed):
  rng = np.random.default_rng(seed)
  found = np.clip(mean + rng.normal(0, 0.1, 60), 0, 1)
  by_query = {f"q{i}": float(x) for i, x in enumerate(found)}
  return dict.fromkeys(study_figures.METRICS, by_query)


@pytest.fixture
def draws():
  return {
    arm: {str(d): values(mean, 10 * d + i) for d in (1, 2)}
    for i, (arm, mean) in enumerate(ARMS.items())
  }


@pytest.fixture
def made(draws):
  return {
    "data": "toy",
    "split": "test",
    "queries": 60,
    "passages": 1000,
    "settings": {
      "labelled": 30,
      "query_length": 20,
      "passage_length": 32,
      "max_passages": 0,
      "train_queries": 100,
      "batch_size": 8,
      "models": {
        "student": {"weights": "all-MiniLM-L6-v2", "layers": [0, 5]},
        "ce_12": {"weights": "all-mpnet-base-v2", "layers": []},
      },
    },
    "runs": 1,
    "origins": [{"stages": 7, **ORIGIN}, {"stages": 1}],
    "beside": {"start": dict.fromkeys(study_figures.METRICS, 0.35)},
    "divided": {"prod_1": 12},
    "arms": {arm: study_figures._arm(of) for arm, of in draws.items()},
    "compared": study_figures._compared(draws),
  }


def test_arms_are_compared_by_the_mean_of_their_draws(draws):
  compared = study_figures._compared(draws)
  found = compared["mined"]["prod"]
  first, second = (
    np.mean([[*draws[arm][d]["mrr@10"].values()] for d in ("1", "2")], axis=0)
    for arm in ("mined", "prod")
  )
  assert found["difference"] == pytest.approx((second - first).mean())
  assert found["p"] <= found["p_holm"] < 0.01
  assert (found["better_in"], found["draws"]) == (2, 2)
  assert [*compared["mined"]] == ["ce", "prod"]
  assert [*compared["ce"]] == ["prod"]  # ce and mined are compared above


def test_all_comparisons_of_a_study_are_corrected_together(draws):
  compared = study_figures._compared(draws)
  every = [pair for of in compared.values() for pair in of.values()]
  assert [pair["p_holm"] for pair in every] == significance.holm(
    [pair["p"] for pair in every]
  )
  least = min(pair["p"] for pair in every)
  assert min(pair["p_holm"] for pair in every) == pytest.approx(3 * least)


def test_a_study_that_is_under_way_compares_what_both_have(draws):
  del draws["prod"]["2"]
  found = study_figures._compared(draws)["mined"]["prod"]
  assert found["draws"] == found["better_in"] == 1
  first, second = (
    np.mean([*draws[arm]["1"]["mrr@10"].values()]) for arm in ("mined", "prod")
  )
  assert found["difference"] == pytest.approx(second - first)
  draws["prod"] = {"3": draws["ce"]["1"]}
  assert "prod" not in study_figures._compared(draws)["mined"]


def test_the_page_says_what_was_found(made):
  text = study_page.page({"toy-30": made}, {"toy-30": "A note.\n"})
  assert "30 of 100 training queries have labels" in text
  assert "| `prod` | **0." in text and "study-toy-30.svg" in text
  assert "`prod` is above `mined`: +0." in text
  assert "draws 2; higher in 2 of them" in text
  assert (
    "Models: `student` layers 0, 5 of all-MiniLM-L6-v2, "
    "`ce_12` all-mpnet-base-v2."
  ) in " ".join(text.split())
  assert (
    "- 7 stages: seed 3, config cccccccccccc, commit aaaaaaaaaaaa, a CPU, "
    "2 cores, python 3.11.2, jax 0.10.2\n"
    "- 1 stage: what they ran with is not written down\n"
  ) in text
  made["compared"]["ce"]["prod"].update(p_holm=0.2)
  assert "`prod` is not above `ce`" in study_page.page(
    {"toy-30": made}, {"toy-30": "A note.\n"}
  )
  assert "No study has been run" in study_page.page({}, {})


def test_the_picture_has_a_dot_a_draw_within_its_frame(made):
  root = xml.etree.ElementTree.fromstring(
    render(study_page.picture("toy", made))
  )
  dots = [x for x in root if x.tag.endswith("circle")]
  assert len(dots) == 6
  width = float(root.get("width"))
  assert all(0 < float(dot.get("cx")) < width for dot in dots)


@pytest.fixture
def workdir(tmp_path):
  """A run of two arms in two draws, of which one is not through."""
  shape = dict(width=8, depth=1, heads=2, mlp_width=8)
  stages, rows = {}, []
  right = dict(start=8, mined_1=8, mined_2=4, prod_1=32)
  for name in right:
    stages |= {
      name: dict(made_by_hand.TRAIN, model="student"),
      f"encode_{name}": dict(kind="encode", params=name, splits=("test",)),
      f"evaluate_{name}": dict(kind="evaluate", encoded=f"encode_{name}"),
    }
  run = made_by_hand.run_of(
    tmp_path / "run", {"student": dict(kind="dual", **shape)}, **stages
  )
  made_by_hand.finish(run)
  for name, count in right.items():
    rows += [
      dict(
        stage=f"evaluate_{name}",
        model_stage=name,
        split="test",
        metric=metric,
        value=count / 32,
        queries=32,
        index="exact",
      )
      for metric in study_figures.METRICS
    ]
    write_run(run.folder(f"evaluate_{name}"), count)
  (run.workdir / "results.json").write_text(json.dumps(rows))
  return run.workdir


def write_run(folder, right):
  """So many of the 32 test queries find their passage, the others another."""
  folder.mkdir(parents=True, exist_ok=True)
  lines = [
    f"q{q} Q0 p{q if q < 64 + right else 0} 1 1.5 t" for q in range(64, 96)
  ]
  (folder / "run.trec").write_text("\n".join(lines) + "\n")


def test_a_run_is_collected(workdir):
  write_run(workdir / study_figures.PEER / "st_kl_2", right=16)
  found = study_figures.collect(str(workdir))
  assert (found["split"], found["queries"], found["passages"]) == (
    "test",
    32,
    120,
  )
  assert found["settings"]["batch_size"] == 8
  assert found["settings"]["train_queries"] == 64
  assert found["beside"] == {
    "start": dict.fromkeys(study_figures.METRICS, 0.25)
  }
  draws = {arm: of["mrr@10"]["draws"] for arm, of in found["arms"].items()}
  assert draws == {"mined": [0.25, 0.125], "prod": [1.0], "st_kl": [0.5]}
  assert found["arms"]["mined"]["ndcg@10"]["mean"] == 0.1875
  of = found["compared"]["mined"]
  assert (of["prod"]["difference"], of["prod"]["draws"]) == (0.75, 1)
  assert (of["st_kl"]["difference"], of["st_kl"]["draws"]) == (0.375, 1)


def change(workdir, path, value):
  """Sets a value in the record of a run, by its keys."""
  file = workdir / "curriculum.json"
  record = json.loads(file.read_text())
  at = record["config"]
  for key in path[:-1]:
    at = at[key]
  at[path[-1]] = value
  file.write_text(json.dumps(record))


@pytest.fixture
def again(workdir, tmp_path):
  """The same run with another seed, half as good."""
  again = shutil.copytree(workdir, tmp_path / "again")
  change(again, ["seed"], 99)
  write_run(next(again.glob("*evaluate_prod_1")), right=16)
  rows = json.loads((again / "results.json").read_text())
  for row in rows:
    row["value"] /= 2
  (again / "results.json").write_text(json.dumps(rows))
  return again


def test_each_run_of_a_study_is_a_draw(workdir, again, tmp_path):
  third = shutil.copytree(again, tmp_path / "third")
  change(third, ["seed"], 100)
  write_run(third / study_figures.PEER / "st_kl_1", right=16)
  found = study_figures.collect(*map(str, (workdir, again, third)))
  assert found["runs"] == 3
  start = dict.fromkeys(study_figures.METRICS, pytest.approx(0.5 / 3))
  assert found["beside"] == {"start": start}
  draws = {arm: of["mrr@10"]["draws"] for arm, of in found["arms"].items()}
  # Two draws of `mined` in each run count as one.
  assert draws == {
    "mined": [0.1875] * 3,
    "prod": [1.0, 0.5, 0.5],
    "st_kl": [0.5],
  }
  of = found["compared"]["mined"]
  assert (of["prod"]["draws"], of["prod"]["better_in"]) == (3, 3)
  assert of["prod"]["difference"] == pytest.approx(2 / 3 - 0.1875)
  assert (of["st_kl"]["draws"], of["st_kl"]["difference"]) == (1, 0.3125)
  once, thrice = (
    study_figures.collect(*map(str, runs))["origins"][0]["stages"]
    for runs in ([workdir], [workdir, again, third])
  )
  assert thrice == 3 * once
  text = study_page.page({"toy": found}, {})
  assert "3 runs, each a draw of the tables. " in text
  alone = study_figures.collect(str(workdir))
  assert "a draw of the tables" not in study_page.page({"toy": alone}, {})


def test_what_an_older_run_leaves_open_is_as_it_is_today(workdir, again):
  file = again / "curriculum.json"
  record = json.loads(file.read_text())
  assert record["config"]["stages"]["prod_1"].pop("chunks") == 1
  file.write_text(json.dumps(record))
  assert study_figures.collect(str(workdir), str(again))["runs"] == 2


def test_divisions_are_told_by_run(workdir, again):
  for number, place in enumerate((workdir, again)):
    file = place / "curriculum.json"
    record = json.loads(file.read_text())
    divide = dict(kind="divide", name="divide_prod_1", summary={"kept": number})
    record["stages"].append(record["stages"][0] | divide)
    file.write_text(json.dumps(record))
  assert study_figures.collect(str(workdir))["divided"] == {"prod_1": 0}
  both = study_figures.collect(str(workdir), str(again))["divided"]
  assert both == {"prod_1 of run 1": 0, "prod_1 of run 2": 1}


@pytest.mark.parametrize(
  ("path", "value", "said"),
  [
    (["data", "query_length"], 7, "it has other query_length; name runs"),
    (["data", "labelled"], 7, "another state of the data set"),
    (["stages", "prod_1", "steps"], 9, "other settings of prod_1; name"),
    (["seed"], None, "a seed of its own, not"),
  ],
)
def test_runs_of_other_settings_are_no_study(workdir, again, path, value, said):
  seed = json.loads((workdir / "curriculum.json").read_text())["config"]["seed"]
  change(again, path, seed if value is None else value)
  with pytest.raises(strict.ConfigError, match=said):
    study_figures.collect(str(workdir), str(again))


def test_a_run_without_an_arm_is_no_study(workdir):
  file = workdir / "curriculum.json"
  record = json.loads(file.read_text())
  for stage in record["stages"]:
    if stage["kind"] == "train":
      stage["name"] = "learnt"
  file.write_text(json.dumps(record))
  with pytest.raises(strict.ConfigError, match="has trained no arm"):
    study_figures.collect(str(workdir))


def test_runs_of_other_queries_are_no_study(workdir, again, monkeypatch):
  read = study_figures._read

  def without_one(of):
    run = read(of)
    return run._replace(queries=run.queries[1:]) if of == str(again) else run

  monkeypatch.setattr(study_figures, "_read", without_one)
  with pytest.raises(
    strict.ConfigError, match="other queries of split test; name"
  ):
    study_figures.collect(str(workdir), str(again))


def test_the_command_takes_several_runs(workdir, again, tmp_path, monkeypatch):
  monkeypatch.setattr(study, "FOLDER", tmp_path / "studies")
  words = ["study", "collect", str(workdir), str(again), "--name=two"]
  monkeypatch.setattr("sys.argv", words)
  study.main()
  assert json.loads((tmp_path / "studies/two.json").read_text())["runs"] == 2


@pytest.mark.parametrize(
  ("words", "said"),
  [
    (
      ["nowhere", "--name=x"],
      "there is no .*curriculum.json; name the working",
    ),
    (["nowhere", "--name=../x"], "'../x' has more than letters, digits,"),
  ],
)
def test_the_command_says_in_a_line_what_is_wrong(words, said, tmp_path):
  nowhere, name = words
  line = [
    sys.executable,
    "-m",
    "benchmarks.study",
    "collect",
    str(tmp_path / nowhere),
    name,
  ]
  found = subprocess.run(line, capture_output=True, text=True, cwd=REPO)
  assert found.returncode == 2
  assert re.search(said, found.stderr) and "Traceback" not in found.stderr


def test_a_study_says_what_it_was_made_with(workdir):
  path = workdir / "curriculum.json"
  record = json.loads(path.read_text())
  for stage in record["stages"]:
    stage["origin"] = ORIGIN
  record["stages"][0]["origin"] = {}
  path.write_text(json.dumps(record))
  write_run(workdir / study_figures.PEER / "st_kl_2", right=16)
  of_peer = {"commit": None, "versions": {"torch": "2.9"}, "processor": "a CPU"}
  peer = workdir / study_figures.PEER / "st_kl_2" / study_figures.ORIGIN
  peer.write_text(json.dumps(of_peer))
  found = study_figures.collect(str(workdir))["origins"]
  count = len(record["stages"]) - 1
  assert found[0] == {"stages": count, **ORIGIN}
  assert {json.dumps(x, sort_keys=True) for x in found[1:]} == {
    json.dumps({"stages": 1, **x}, sort_keys=True) for x in ({}, of_peer)
  }
  assert study_page._made_with({"stages": 1, **of_peer}) == (
    "- 1 stage: commit unknown, a CPU, torch 2.9"
  )


def test_a_peer_without_a_draw_is_named(workdir):
  write_run(workdir / study_figures.PEER / "kl", right=16)
  with pytest.raises(strict.ConfigError, match="peer/kl is not named ARM_DRAW"):
    study_figures.collect(str(workdir))


def test_page_and_plots_are_those_of_the_kept_results():
  for path, text in study.files().items():
    assert path.read_text() == text, path
  for path in study.FOLDER.glob("*.json"):
    json.loads(path.read_text())
