"""What is said of compiled programs."""

import jax
from absl import logging

from prod_jax import compilation


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
