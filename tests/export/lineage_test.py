"""Where a model came from, told of models and files that may be gone."""

import json
import shutil

import pytest

from prod_jax import packaged, strict
from prod_jax.export import finished, lineage, whole
from prod_jax.stages import folders
from tests.export import made

PROD = dict(
  method="prod",
  candidates="mine",
  negatives=2,
  settings=dict(in_batch=False, temperature=1.0, hard=0.1, soft=0.9),
)


@pytest.fixture
def run(tmp_path):
  """A student of a classifier as it is, and one of a file's scores."""
  models = dict(
    student=dict(kind="dual", weights=str(made.embedder(tmp_path / "own"))),
    other=dict(kind="dual", width=8, depth=1, heads=2, mlp_width=8),
    teacher=dict(
      kind="cross", weights=str(made.classifier(tmp_path / "classifier"))
    ),
  )
  (tmp_path / "scores.run").write_text("q0 Q0 p0 1 2.5 x\nq0 Q0 p1 2 1.5 x\n")
  found = made.run_of(
    tmp_path / "work",
    models,
    encode=dict(kind="encode", params="student"),
    mine=dict(kind="mine", encoded="encode", depth=5),
    score=dict(kind="score", params="teacher", candidates="mine"),
    given=dict(kind="imported", path=str(tmp_path / "scores.run")),
    student_learns=PROD | dict(scores="score"),
    other_learns=PROD | dict(candidates="given", scores="given"),
  )
  made.finish(found)
  return found


def exported(run, stage):
  """Its card and its provenance."""
  to = run.workdir.parent / "out" / stage
  trained = finished.open_stage(run.workdir, f"{stage}_learns")
  whole.export(trained, whole.Options(to=to, where=whole.card.Where(stage)))
  text = (to / whole.PROVENANCE).read_text()
  return (to / "README.md").read_text(), json.loads(text), text


def test_a_teacher_as_it_is_has_a_place(run, tmp_path):
  trained = finished.open_stage(run.workdir, "student_learns")
  assert lineage.teachers(trained) == [("teacher", "teacher")]
  hashes = {
    name: folders.fingerprint(run.model_config(name))["weights"]
    for name in ("student", "teacher")
  }
  shutil.rmtree(tmp_path / "classifier")  # nobody needs it any more
  card, said, text = exported(run, "student")
  assert "taught by teacher" in card
  assert "| first weights of teacher | classifier | unknown: fill in |" in card
  assert said["first_weights"] == {
    "student": {"name": "own", "sha256": hashes["student"]},
    "teacher": {"name": "classifier", "sha256": hashes["teacher"]},
  }
  assert said["imported"] == {}
  # Folders of this machine are nobody's business.
  assert str(tmp_path) not in text + card
  config = said["config"]
  assert config["data"]["path"] == "set"
  assert config["data"]["tokenizer"] == "words"
  assert config["models"]["teacher"]["weights"] == "classifier"
  assert config["stages"]["given"]["path"] == "scores.run"


def test_a_model_as_it_was_has_a_row_where_it_was_measured(run):
  row = dict(index="exact", split="test", metric="mrr@10", queries=8)
  before, after = (
    row | dict(stage=stage, model_stage=name, value=value)
    for stage, name, value in [
      ("before", "student", 0.25),
      ("after", "student_learns", 0.5),
    ]
  )
  path = run.workdir / finished.RESULTS
  path.write_text(json.dumps([after]))
  assert "as it is" not in exported(run, "student")[0]
  path.write_text(json.dumps([before, after]))
  shutil.rmtree(run.workdir.parent / "out")
  card, *_ = exported(run, "student")
  first = "| student | student | as it is | - | - | - | - | 0.250 |"
  assert f"{first}\n| student_learns | student | teacher | prod | 1 |" in card


def test_a_file_of_scores_has_a_place(run, tmp_path):
  card, said, _ = exported(run, "other")
  assert "taught by scores of scores.run" in card
  assert "| imported by given | scores.run | unknown: fill in |" in card
  file = tmp_path / "scores.run"
  found = said["imported"]["given"]
  assert found["sha256"] == packaged.sha256(file)
  assert said["first_weights"] == {"other": {"name": "random", "sha256": ""}}
  file.write_text("q0 Q0 p0 1 2.5 y\n")
  (tmp_path / "out" / lineage.CARD).touch()
  trained = finished.open_stage(run.workdir, "other_learns")
  for reason in ("has changed since", "not there any more"):
    again = lineage.provenance(trained, tmp_path / "out")["imported"]["given"]
    assert again["sha256"] is None and reason in again["reason"]
    assert again["fingerprint"] == found["fingerprint"]
    file.unlink(missing_ok=True)


def test_a_bar_is_no_border_of_a_cards_table():
  assert whole.card._table(("a",), [("x | y",)])[2] == "| x \\| y |"
  assert whole.card._quoted(" | 查询") == '" | 查询"'


def test_what_was_not_written_down_is_said(run, caplog):
  for path in run.workdir.glob("*/DONE.json"):
    path.write_text('{"hash": "1"}')
  _, said, _ = exported(run, "student")
  assert "is not checked" in caplog.text
  for found in said["first_weights"].values():
    assert found["sha256"] is None and "not written it down" in found["reason"]


def test_a_folder_of_weights_that_has_changed_is_refused(run, tmp_path):
  finished.open_stage(run.workdir, "student_learns")
  path = tmp_path / "own" / "modules.json"
  path.write_text(json.dumps(json.loads(path.read_text())[:-1]))
  with pytest.raises(
    strict.ConfigError, match=r"config\.models\.student\.w.* has changed since"
  ):
    finished.open_stage(run.workdir, "student_learns")
  shutil.rmtree(tmp_path / "own")
  with pytest.raises(strict.ConfigError, match=r"student\.weights is .*own"):
    finished.open_stage(run.workdir, "student_learns")


def test_a_tokenizer_that_has_changed_is_refused(run, tmp_path):
  finished.open_stage(run.workdir, "other_learns")
  path = tmp_path / "words" / "tokenizer.json"
  said = json.loads(path.read_text())
  said["normalizer"]["lowercase"] = False
  path.write_text(json.dumps(said))
  with pytest.raises(
    strict.ConfigError, match="the tokenizer of model other, which has changed"
  ):
    finished.open_stage(run.workdir, "other_learns")


@pytest.fixture
def chosen(tmp_path):
  """A student, a second one that a gate's teacher taught, and a third."""
  models = dict(
    student=dict(kind="dual", weights=str(made.embedder(tmp_path / "own"))),
    teacher=dict(
      kind="cross", weights=str(made.classifier(tmp_path / "classifier"))
    ),
  )
  embeds = dict(kind="encode", splits=("train", "dev"))
  found = made.run_of(
    tmp_path / "work",
    models,
    first=dict(made.TRAIN, model="student"),
    encode_first=embeds | dict(params="first"),
    gate=dict(kind="gate", encoded="encode_first", teacher="teacher", depth=5),
    mine=dict(kind="mine", encoded="encode_first", depth=5),
    score=dict(kind="score", params="teacher", candidates="mine"),
    second=dict(made.TRAIN, model="student", init="first", gate="gate")
    | PROD
    | dict(scores="score"),
    encode_second=embeds | dict(params="second"),
    accept=dict(kind="accept", encoded="encode_second", before="encode_first"),
    student_learns=dict(init="accept"),
  )
  made.finish(found)
  return found


@pytest.mark.parametrize(
  ("choice", "reached", "teachers"),
  [
    ("first", [], []),
    (
      "second",
      ["mine", "score", "second", "encode_second"],
      [("teacher", "teacher")],
    ),
  ],
)
def test_a_student_that_was_not_chosen_is_no_ancestor(
  chosen, choice, reached, teachers
):
  path = chosen.workdir / finished.CURRICULUM
  left = json.loads(path.read_text())
  for stage in left["stages"]:
    if stage["name"] == "accept":
      stage["summary"] = {"accepted": f"encode_{choice}"}
  path.write_text(json.dumps(left))
  trained = finished.open_stage(chosen.workdir, "student_learns")
  names = {stage.name for stage in lineage.upstream(trained)}
  always = {"first", "encode_first", "accept", "student_learns"}
  assert names == always.union(reached)
  assert lineage.teachers(trained) == teachers
