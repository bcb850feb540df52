"""Runs the examples in the docstrings of the room."""

import doctest
import inspect

import jax
import pytest

from prod_jax.losses import (
  contrastive,
  hidden,
  listwise,
  max_sim,
  pairwise,
  preference,
)

MODULES = (contrastive, hidden, listwise, max_sim, pairwise, preference)


def public_functions():
  for module in MODULES:
    for name, fn in inspect.getmembers(module, inspect.isfunction):
      if fn.__module__ == module.__name__ and not name.startswith("_"):
        yield pytest.param(module, fn, id=f"{module.__name__}.{name}")


@pytest.mark.parametrize(("module", "fn"), list(public_functions()))
def test_example_runs(module, fn):
  settings = [name for name, of in fn.__annotations__.items() if of is float]
  # One compilation instead of one an operation, which takes seconds.
  fast = {fn.__name__: jax.jit(fn, static_argnames=settings)}
  # Not doctest.testmod: it passes over functions that a type checker wraps.
  finder = doctest.DocTestFinder(recurse=False)
  (example,) = finder.find(
    fn, fn.__name__, module=False, globs=vars(module) | fast
  )
  assert example.examples, f"{fn.__name__} has no example"
  runner = doctest.DocTestRunner()
  report = []
  runner.run(example, out=report.append)
  assert runner.summarize(verbose=False).failed == 0, "".join(report)
