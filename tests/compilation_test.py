"""What is said of compiled programs."""

import contextlib
from unittest import mock

import jax
import pytest
from absl import logging

from prod_jax import compilation, curriculum, main
from prod_jax.processes import Processes
from prod_jax.stages.run import Run


def test_programs_lie_with_the_user_and_not_in_the_working_folder(
  monkeypatch, tmp_path
):
  """They are native code, and a working folder may be somebody else's."""
  monkeypatch.setenv("PROD_JAX_CACHE", str(tmp_path / "user"))
  run = mock.Mock(spec=Run, config=None, located=None, dataset=None)
  run.workdir, run.processes = tmp_path / "run", Processes(tmp_path / "run")
  kept = []

  def keep(folder):
    kept.append(folder)
    raise InterruptedError  # all else of the run is others'

  with contextlib.ExitStack() as patched:
    for name in ("check_files", "check_negatives", "check"):
      patched.enter_context(mock.patch.object(main.splits, name))
    patched.enter_context(mock.patch.object(main, "build", return_value=[]))
    patched.enter_context(mock.patch.object(curriculum, "plan"))
    patched.enter_context(mock.patch.object(compilation, "keep", keep))
    with pytest.raises(InterruptedError):
      main._run(run, ())
  assert kept == [tmp_path / "user" / "compiled"]


def test_programs_that_were_kept_are_told_from_new_ones(monkeypatch):
  """JAX reports the reading of a kept program as a compilation too."""
  said = []
  monkeypatch.setattr(
    logging, "info", lambda text, *args: said.append(text % args)
  )
  record = jax.monitoring.record_event_duration_secs
  with compilation.logged("stage"):
    for event, seconds in (
      (compilation._COMPILED, 2.0),
      (compilation._COMPILED, 0.75),
      (compilation._READ, 0.5),
      ("/something/else", 9.0),
    ):
      record(event, seconds)
  record(compilation._COMPILED, 1.0)  # is nobody's any more
  with compilation.logged("idle"):
    pass
  assert said == [
    "stage: compiled 1 programs in 2.2 s, read 1 from the compilation cache in "
    "0.5 s"
  ]
