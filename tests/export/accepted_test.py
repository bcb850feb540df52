"""The student that an accept stage has chosen, exported under its name."""

import json

import jax
import numpy as np
import pytest

from prod_jax import strict
from prod_jax.export import as_it_is, finished, named, systems, task
from prod_jax.serving import opened
from prod_jax.stages import accepted
from tests.export import made


@pytest.fixture
def run(tmp_path):
  """A student, trained twice and embedded, and a choice between the two."""
  models = {
    "student": dict(
      kind="dual", weights=str(made.embedder(tmp_path / "embedder"))
    )
  }
  learns = dict(made.TRAIN, model="student")
  found = made.run_of(
    tmp_path / "work",
    models,
    first=learns,
    encode_student=dict(kind="encode", params="student"),
    encode_first=dict(kind="encode", params="first"),
    encode_second=dict(kind="encode", params="first"),
    accept=dict(kind="accept", encoded="encode_second", before="encode_first"),
  )
  made.finish(found)
  return found


def choose(run, encoded):
  path = run.folder("accept") / accepted.ACCEPTED
  path.write_text(json.dumps({"encoded": encoded}))


def test_an_accept_stage_is_opened_as_the_student_that_it_chose(run):
  choose(run, "encode_first")
  assert finished.open_stage(run.workdir, "accept").name == "first"


def test_a_choice_of_the_untrained_model_is_no_export(run):
  choose(run, "encode_student")
  with pytest.raises(
    strict.ConfigError, match="'accept' has accepted model student as it is"
  ):
    finished.open_stage(run.workdir, "accept")


def test_a_choice_that_was_not_made(run):
  with pytest.raises(strict.ConfigError, match=r"there is no .*accepted\.json"):
    finished.open_stage(run.workdir, "accept")


def test_a_student_that_was_skipped_points_to_the_one_that_went_on(run):
  (run.folder("first") / "params.safetensors").unlink()
  done = {"hash": "1", "summary": {"skipped": "because ce does not teach"}}
  (run.folder("first") / finished.DONE).write_text(json.dumps(done))
  with pytest.raises(
    strict.ConfigError,
    match="'first' was skipped, because ce does not teach; --stage=accept is "
    "the student that went on",
  ):
    finished.open_stage(run.workdir, "first")


def test_beside_others_a_run_that_kept_its_start_is_that_model(run, tmp_path):
  choose(run, "encode_student")
  words = opened.with_stages([str(run.workdir)], tmp_path)
  assert words == [f"{run.workdir}:student"]
  (system,) = named.parse(words)
  asked = task.open_task((), str(run.workdir), tmp_path / "cache")
  found = systems.open_model(system, asked).frozen.copies
  own = as_it_is.of_run(run, "student").frozen.copies
  assert jax.tree.all(jax.tree.map(np.array_equal, found, own))
