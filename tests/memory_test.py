"""What was freed is given back."""

import ctypes

import jax

from prod_jax import compilation, memory


class Glibc:
  def __init__(self):
    self.kept = []

  def malloc_trim(self, kept):
    self.kept.append(kept)


def test_what_was_freed_is_given_back(monkeypatch):
  memory.give_back()  # of this library, whichever it is
  library = Glibc()
  for other in (library, object()):  # the second is one without it
    memory._trim.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda name, other=other: other)
    memory.give_back()
  memory._trim.cache_clear()
  assert library.kept == [0]


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
