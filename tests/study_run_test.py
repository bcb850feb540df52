"""The config of the study, whose arms share a start and teachers."""

import jax
import pytest

from benchmarks import study_figures, study_split
from prod_jax import config_file, curriculum, main, packaged, strict
from prod_jax.processes import Processes
from prod_jax.sets.datasets import pydocs
from prod_jax.sets.records import Passage, Query
from prod_jax.stages.run import Run
from tests import commands
from tests.main_test import REPO, run

CONFIG = "configs/study.py:runlocal"
NEIGHBOURS = {"lead", "pair_distill", "adam"}


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
  """Plans of a variant, made once: its stages are checked and hashed."""
  made: dict[str, list[curriculum.Plan]] = {}

  def look(variant):
    if "mpnet" in variant and not packaged.mpnet_target().exists():
      pytest.skip("make mpnet")
    if variant not in made:
      config = config_file.load(f"{REPO}/configs/study.py:{variant}")
      place = Processes(tmp_path_factory.mktemp("look"))
      run = Run(config, place, devices=jax.devices()[:1])
      main.check(run)
      made[variant] = curriculum.plan(main.build(run), run.processes)
    return made[variant]

  return look


def test_a_run_goes_on_with_the_neighbours(plans):
  base, more = plans(""), plans("neighbours")
  assert [(p.stage.folder.name, p.hash) for p in base] == [
    (p.stage.folder.name, p.hash) for p in more[: len(base)]
  ]
  added = {p.stage.name for p in more[len(base) :]}
  assert {f"evaluate_{arm}_{n}" for arm in NEIGHBOURS for n in "123"} < added


@pytest.mark.parametrize(
  ("variant", "changed"),
  [
    # Whatever reads a student of three layers, and nothing else.
    ("layers3+neighbours", "start lead_2 prod_1_part_1 divide_data_3"),
    # Teachers and what they make; the warm student is the same.
    ("mpnet+neighbours", "teacher lists ce_weak ce_strong darken mined_1"),
    # Every arm and what it finds, and none of its teachers.
    (
      "long+neighbours",
      "mined_1 adam_2 prod_1_part_1 mine_data_3 divide_data_3",
    ),
  ],
)
def test_a_variant_keeps_what_it_does_not_touch(plans, variant, changed):
  base, other = plans("neighbours"), plans(variant)
  assert [p.stage.folder.name for p in base] == [
    p.stage.folder.name for p in other
  ]
  same = {
    one.stage.name
    for one, two in zip(base, other, strict=True)
    if one.hash == two.hash
  }
  assert not same & set(changed.split())
  kept = {
    "layers3+neighbours": "teacher lists ce_weak ce_strong score_last duo "
    "compare darken",
    "mpnet+neighbours": "encode_student start encode_start labels_3",
    "long+neighbours": "start teacher lists score_last ce_strong duo darken",
  }
  assert set(kept[variant].split()) < same


def test_an_unknown_variant_is_named():
  with pytest.raises(strict.ConfigError, match="'layers4'; known: neighbours"):
    config_file.load(f"{REPO}/configs/study.py:layers4")


@pytest.mark.parametrize(
  "variant", ["given+mpnet", "teachers+given", "teachers+neighbours"]
)
def test_teachers_made_elsewhere_are_one_choice(variant):
  with pytest.raises(
    strict.ConfigError, match=r"beside '(teachers|given)' stand .* no "
  ):
    config_file.load(f"{REPO}/configs/study.py:{variant}")


def test_a_rising_ladder_has_each_teacher_alone():
  with pytest.raises(strict.ConfigError, match="name given\\+rising"):
    config_file.load(f"{REPO}/configs/study.py:rising")
  config = config_file.load(f"{REPO}/configs/study.py:given+rising")
  assert config.models["teacher"].weights == "packaged"
  scores = [s for s in config.stages.values() if s.kind == "score"]
  assert {s.params for s in scores} == {"ce_weak", "ce_strong"}
  assert not any(s.ensemble for s in scores)
  # What a rung teaches the student found itself, but for the first lists.
  lists = {s.candidates for s in scores} - {"lists"}
  assert {"mine_prod_1_part_3", "mine_prod_1", "mine_data_3"} < lists


def test_rates_fall_from_rung_to_rung_and_all_arms_have_as_many_steps():
  with pytest.raises(strict.ConfigError, match="name given\\+falling"):
    config_file.load(f"{REPO}/configs/study.py:falling")
  base, falling = (
    config_file.load(f"{REPO}/configs/study.py:given+{variant}").stages
    for variant in ("rising", "falling")
  )
  assert [*base] == [*falling]
  changed = {name for name in base if base[name] != falling[name]}
  assert {name.split("_")[0] for name in changed} == {"teachers", "prod"}
  for arm in ("teachers_2", "prod_2", "prod_no_lwf_2"):
    names = [*(f"{arm}_part_{n}" for n in (1, 2, 3)), arm]
    parts = [falling[name] for name in names if name in falling]
    assert sum(part.steps for part in parts) == falling["ce_2"].steps
    rates = [part.learning_rate for part in parts]
    assert rates == sorted(rates, reverse=True)
    assert (rates[0], parts[0].steps) == (falling["ce_2"].learning_rate, 80)
    assert parts[0].scores == "encode_teacher"
    assert rates[-1] == (2e-5 if "prod" in arm else 5e-5)


def test_a_longer_run_has_three_times_the_steps_of_each_part():
  steps = [
    {
      name: (stage.steps, stage.warmup_steps)
      for name, stage in config_file.load(f"{REPO}/{variant}").stages.items()
      if stage.kind == "train" and stage.model == "student" and name != "start"
    }
    for variant in ("configs/study.py", "configs/study.py:long")
  ]
  assert {*steps[0]} >= {"mined_1", "prod_2_part_1", "prod_2", "data_3"}
  assert steps[1] == {k: (3 * s, 3 * w) for k, (s, w) in steps[0].items()}
  # The pace of ADAM is over half of them.
  over = [
    config_file.load(f"{REPO}/configs/study.py:{variant}neighbours")
    .stages["adam_1"]
    .settings["over"]
    for variant in ("", "long+")
  ]
  assert over[1] == 3 * over[0]


def test_the_neighbours_learn_from_teachers_made_elsewhere():
  base, more = (
    config_file.load(f"{REPO}/configs/study.py:given+rising{neighbours}")
    for neighbours in ("", "+neighbours")
  )
  names = list(more.stages)
  assert names[: len(base.stages)] == list(base.stages)
  added = set(names[len(base.stages) :])
  assert {f"evaluate_{arm}_{n}" for arm in NEIGHBOURS for n in "123"} < added
  # No stage trains a teacher of dark examples or of layers, nor its lists.
  read = {"darken": "params", "lead_1": "teacher", "duo": "candidates"}
  assert [getattr(more.stages[stage], key) for stage, key in read.items()] == [
    "ce_strong",
    "teacher",
    "lists",
  ]
  assert {"ce_strong", "teacher", "duo"} < set(more.models)


@pytest.mark.parametrize(
  ("variant", "judge", "wide"),
  [
    ("neighbours", "ce_strong", "lists_wide"),
    # Dark examples have the student's tokens, which are not MPNet's.
    ("mpnet+neighbours", "ce_weak", "lists_wide"),
    ("given+neighbours", "ce_strong", "lists"),
  ],
)
def test_who_judges_dark_examples_scores_their_lists(variant, judge, wide):
  stages = config_file.load(f"{REPO}/configs/study.py:{variant}").stages
  assert stages["darken"].params == stages["score_labelled"].params == judge
  assert stages["darken"].candidates == stages["score_labelled"].candidates
  assert stages["duo"].candidates == wide
  assert {wide, "lists_labelled"} < set(stages)


def test_no_query_of_a_student_teaches_its_teachers(tmp_path):
  folder = tmp_path / "whole"
  folder.mkdir()
  (folder / "collection.tsv").write_text("p\t\ttext\n")
  numbers = range(10)
  for split in ("train", "dev", "test"):
    queries = "".join(f"{split}{n}\tasks\n" for n in numbers)
    (folder / f"queries.{split}.tsv").write_text(queries)
    judged = "".join(f"{split}{n} 0 p 1\n" for n in numbers)
    (folder / f"qrels.{split}.tsv").write_text(judged)
  with pytest.raises(ValueError, match="of 10 queries"):
    study_split.split(folder, tmp_path, 10)
  # Such letters end a line for Python, and for nobody who wrote the file.
  with (folder / "queries.train.tsv").open("a", encoding="utf-8") as file:
    file.write("train10\tone\u2028two\x85three\n")
  study_split.split(folder, tmp_path, 4)
  ids = {}
  for name in ("students", "teachers"):
    made = tmp_path / name
    for file in ("collection.tsv", "queries.test.tsv", "qrels.dev.tsv"):
      assert (made / file).read_bytes() == (folder / file).read_bytes()
    lines = (made / "queries.train.tsv").read_text().strip().split("\n")
    ids[name] = [line.split("\t")[0] for line in lines]
    judged = (made / "qrels.train.tsv").read_text().splitlines()
    ids[name] = [name for name in ids[name] if name != "train10"]
    assert [line.split()[0] for line in judged] == ids[name]
  assert len(ids["students"]) in (3, 4)
  every = ids["students"] + ids["teachers"]
  assert sorted(every) == [f"train{n}" for n in numbers]


def test_docstrings_are_divided_as_a_folder_is(tmp_path, monkeypatch):
  numbers = range(4)
  passages = [Passage(f"p{n}", f"title {n}", f"text {n}") for n in numbers]
  queries = {
    split: [Query(f"{split}{n}", f"asks {n}", ((f"p{n}", 1),)) for n in numbers]
    for split in ("train", "dev", "test")
  }
  monkeypatch.setattr(pydocs, "extract", lambda: pydocs.Docs(passages, queries))
  words = ["study_split", "pydocs", str(tmp_path), "--students=1"]
  monkeypatch.setattr("sys.argv", words)
  study_split.main()
  for name, count in ("students", 1), ("teachers", 3):
    lines = (tmp_path / name / "queries.train.tsv").read_text().splitlines()
    judged = (tmp_path / name / "qrels.train.tsv").read_text().splitlines()
    assert len(lines) == len(judged) == count
  collection = (tmp_path / "students" / "collection.tsv").read_text()
  assert collection.splitlines()[1] == "p1\ttitle 1\ttext 1"


def test_its_small_variant_can_run(tmp_path):
  done = run(tmp_path, "--dry_run", config=CONFIG)
  assert "prod_no_lwf_1 " in done.stdout and "labels_2" not in done.stdout


@pytest.mark.long
def test_every_arm_is_trained_measured_and_collected(tmp_path):
  run(tmp_path, config=CONFIG)
  found = study_figures.collect(str(tmp_path))
  assert list(found["arms"]) == [
    *("labels", "mined", "de", "ce", "margin", "cl_drd"),
    *("teachers", "data", "prod", "prod_no_lwf", "undivided"),
    *("lead", "pair_distill", "adam"),
  ]
  assert found["divided"].keys() == {"data_1", "prod_1", "prod_no_lwf_1"}
  assert set(found["compared"]) == set(study_figures.AGAINST)
  assert {*found["compared"]["mined"]} > NEIGHBOURS


@pytest.mark.long
def test_teachers_of_one_run_teach_in_another(tmp_path):
  elsewhere = tmp_path / "teachers"
  run(elsewhere, config="configs/study.py:teachers+runlocal")
  weights = []
  for name in ("teacher", "ce_weak", "ce_strong"):
    words = (
      f"--workdir={elsewhere}",
      f"--stage={name}",
      f"--to={tmp_path / name}",
    )
    done = commands.run("prod_jax.cli.export", *words)
    assert done.returncode == 0, done.stderr
    weights.append(f"--config.models.{name}.weights={tmp_path / name}")
  run(tmp_path / "given", *weights, config="configs/study.py:given+runlocal")
  found = study_figures.collect(str(tmp_path / "given"))
  assert {"mined", "ce", "prod"} < found["arms"].keys()
  assert {"start", "teacher"} < found["beside"].keys()
