"""What was freed is given back, and what was imported is left alone."""

import ctypes
import gc

import jax
import pytest

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


def test_what_was_imported_is_not_looked_through_for_garbage(monkeypatch):
  calls = []
  for name in ("disable", "freeze", "enable"):
    monkeypatch.setattr(gc, name, lambda name=name: calls.append(name))
  with pytest.raises(ImportError), memory.imports():
    calls.append("import")
    import prod_jax.nothing  # noqa: F401
  assert calls == ["disable", "import", "freeze", "enable"]


def test_a_collector_that_was_off_stays_off(monkeypatch):
  calls = []
  monkeypatch.setattr(gc, "isenabled", lambda: False)
  for name in ("disable", "freeze", "enable"):
    monkeypatch.setattr(gc, name, lambda name=name: calls.append(name))
  with memory.imports():
    pass
  assert calls == ["disable", "freeze"]


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
