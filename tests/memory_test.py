"""What was freed is given back."""

import ctypes

import jax

from prod_jax import compilation, memory


def test_what_was_freed_is_given_back(monkeypatch):
  memory.give_back()  # of this library, whichever it is
  memory._trim.cache_clear()
  monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
  memory.give_back()
  memory._trim.cache_clear()


def test_compiler_and_stage_give_back_what_they_took(monkeypatch):
  given = []
  monkeypatch.setattr(memory, "give_back", lambda: given.append(1))
  record = jax.monitoring.record_event_duration_secs
  with compilation.logged("stage"):
    record(compilation._COMPILED, 0.01)  # too little to look for
    record(compilation._READ, 9.0)
    assert not given
    record(compilation._COMPILED, 9.0)
    assert len(given) == 1
  assert len(given) == 2
