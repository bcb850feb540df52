"""What was freed is given back, and what was imported is left alone."""

import ctypes
import gc

import jax
import pytest

from prod_jax import compilation, memory


class Glibc:
  def __init__(self):
    self.kept, self.options = [], []

  def malloc_trim(self, kept):
    self.kept.append(kept)

  def mallopt(self, *option):
    self.options.append(option)


@pytest.fixture
def libraries(monkeypatch):
  """Puts one C library after the other in the place of this one."""

  def each(*others):
    for other in others:
      memory._of_c.cache_clear()
      monkeypatch.setattr(ctypes, "CDLL", lambda name, other=other: other)
      yield other

  yield each
  memory._of_c.cache_clear()


def test_what_was_freed_is_given_back(libraries):
  memory.give_back()  # of this library, whichever it is
  library = Glibc()
  for _ in libraries(library, object()):  # the second is one without it
    memory.give_back()
  assert library.kept == [0]


@pytest.fixture
def untuned(monkeypatch):
  for name in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES"):
    monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("cores", "arenas"), [(1, 2), (8, 8)])
def test_malloc_has_an_arena_a_core(
  libraries, monkeypatch, untuned, cores, arenas
):
  # Of the cores that it may use, and not of all that the host has.
  monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(cores)))
  library = Glibc()
  for _ in libraries(library, object()):
    memory.limit_arenas()
  assert library.options == [(-8, arenas)]


@pytest.mark.parametrize(
  "said",
  [
    {"MALLOC_ARENA_MAX": "2"},
    {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=2"},
  ],
)
def test_a_user_may_say_how_many(libraries, monkeypatch, untuned, said):
  for name, value in said.items():
    monkeypatch.setenv(name, value)
  library = Glibc()
  for _ in libraries(library):
    memory.limit_arenas()
  assert not library.options


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
