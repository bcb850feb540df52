"""Profiles of some steps: what may be asked for, and when one runs."""

import contextlib
import logging
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax import config_file, main, strict
from prod_jax.processes import Processes
from prod_jax.profiling import Asked, Profile
from tests.commands import REPO


@pytest.fixture(scope="module")
def quickstart():
  return config_file.load(str(REPO / "configs/quickstart.py:runlocal"))


@pytest.fixture
def seen(monkeypatch):
  """What the profiler was told, in its place."""
  told = []
  monkeypatch.setattr(
    jax.profiler, "start_trace", lambda to, **_: told.append(f"start {to}")
  )
  monkeypatch.setattr(jax.profiler, "stop_trace", lambda: told.append("stop"))
  monkeypatch.setattr(
    jax.profiler,
    "StepTraceAnnotation",
    lambda name, step_num: contextlib.nullcontext(told.append(step_num)),
  )
  return told


def through(profile, first, steps):
  """A loop that looks at a step once the next one is on its way."""
  for step in range(first, steps + 1):
    number = profile.begin(step)
    with profile.host(number):
      pass
    profile.end(number, np.float32(0))


def test_only_what_was_asked_for_is_profiled(seen):
  profile = Profile(Asked("warm", 3, 4), pathlib.Path("to"))
  through(profile, 1, 6)
  profile.close()
  assert seen == ["start to", 3, 4, "stop"]
  through(Profile(), 1, 6)
  assert len(seen) == 4


def test_batches_are_numbered_and_settled_late(seen):
  profile = Profile(Asked("encode", 2, 3))
  numbers = [profile.begin() for _ in range(4)]
  assert numbers == [1, 2, 3, 4] and seen == ["start ."]
  for number in numbers:
    profile.end(number, np.float32(0))
  assert seen == ["start .", "stop"]


def test_a_stage_that_ends_before_has_what_it_had(seen, caplog):
  profile = Profile(Asked("encode", 2, 9), pathlib.Path("to"))
  through(profile, 1, 4)
  with caplog.at_level(logging.INFO):
    profile.close()
  assert seen[-1] == "stop"
  assert "encode: a profile of steps 2 to 4 is in to" in caplog.text
  # What is done already is no step of this run.
  profile = Profile(Asked("warm", 2, 3))
  through(profile, 4, 6)
  profile.close()
  assert "none of these steps of warm was run" in caplog.text


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("student_warm", "it takes a stage with its first and its last step"),
    ("student_warm:2:x", "it takes a stage with"),
    ("student_warm:3:2", "the last one is not before the first"),
    ("student_warm:0:2", "steps are counted from 1"),
    ("student_warm:2:4", "student_warm has 3 steps"),
    ("student_warn:1:2", "did you mean --trace.student_warm?"),
    ("divide:1:2", "divide is of kind divide, in which no model runs"),
  ],
)
def test_a_wrong_trace_is_refused(tmp_path, quickstart, text, message):
  with pytest.raises(strict.ConfigError) as error:
    main._profile(quickstart, Processes(tmp_path), text)
  assert message in str(error.value)


def test_a_right_one_lies_in_the_working_folder(tmp_path, quickstart):
  processes = Processes(tmp_path)
  assert main._profile(quickstart, processes, "")._asked is None
  for text in ("student_warm:2:3", "encode_student_warm:5:90"):
    found = main._profile(quickstart, processes, text)
    assert found.of(text.partition(":")[0]) is found
    assert found.of("student_de")._asked is None
    assert found._folder == tmp_path / "traces" / text.replace(":", "-")


def test_the_profiler_writes_what_xprof_reads(tmp_path):
  @jax.jit
  def step(x):
    with jax.named_scope("a_term"):
      return jnp.sin(x) @ x

  profile = Profile(Asked("warm", 2, 2), tmp_path)
  x = jnp.ones((8, 8))
  for number in (1, 2, 3):
    profile.begin(number)
    with profile.host(number):
      result = step(x)
    profile.end(number, result)
  (path,) = tmp_path.rglob("*.xplane.pb")
  assert b"a_term" in path.read_bytes()
