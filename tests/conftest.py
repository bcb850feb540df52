"""CPU with 8 simulated devices, and strict broadcasting, for every test."""

import gc
import os
import pathlib
from xml.etree import ElementTree

import jax
import pytest

from tests.commands import CACHE, FAST, REPO

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
# Tests compile much and compute little. Commands, which they start as processes
# of their own, run as they do for everyone where a test does not say `fast`.
jax.config.update("jax_disable_most_optimizations", True)
os.environ.update(FAST)  # XLA reads its flags when it first compiles
# A command that a test starts reads our modules as bytecode, as anyone's does.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# What one test compiles another one reads, and the next run all of it.
jax.config.update("jax_compilation_cache_dir", str(CACHE / "compiled_by_tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)

# Files of few tests that take long. They begin first: whatever is last keeps a
# worker waiting for the other one.
FIRST = (
  "add_a_method_test",
  "add_a_stage_kind_test",
  "blocks_test",
  "chaos_test",
  "command_test",
  "dry_run_test",
  "main_test",
  "matryoshka_test",
  "methods_run_test",
  "processes_test",
  "projection_test",
  "reproducible_test",
  "study_run_test",
  "widths_run_test",
)


def pytest_addoption(parser: pytest.Parser) -> None:
  parser.addoption(
    "--only_skipped",
    metavar="FILE",
    help="run what this report of an earlier run (--junitxml) says was skipped",
  )
  parser.addoption(
    "--long",
    action="store_true",
    help="run what is marked as long, too: whole configs of other papers",
  )


def pytest_collection_modifyitems(
  config: pytest.Config, items: list[pytest.Item]
) -> None:
  items.sort(key=lambda item: item.path.stem not in FIRST)
  if not config.getoption("long"):
    for item in items:
      if item.get_closest_marker("long"):
        item.add_marker(pytest.mark.skip(reason="long; run it with --long"))
  report = config.getoption("only_skipped")
  if not report:
    return
  # A test is "tests.room.some_test.test_it" there, and a module that is skipped
  # as a whole ".tests.room.some_test".
  skipped = {
    f"{case.get('classname')}.{case.get('name')}".lstrip(".")
    for case in ElementTree.parse(report).iter("testcase")
    if case.find("skipped") is not None
  }
  kept, others = [], []
  for item in items:
    module = item.nodeid.partition(".py::")[0].replace("/", ".")
    again = not skipped.isdisjoint((module, f"{module}.{item.name}"))
    (kept if again else others).append(item)
  items[:] = kept
  config.hook.pytest_deselected(items=others)


def pytest_collection_finish() -> None:
  """What was imported stays: it is not looked through again and again."""
  gc.collect()
  gc.freeze()


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
  """The folder of real text and reference numbers, where there is one."""
  folder = pathlib.Path(os.environ.get("PROD_JAX_SHARED", REPO / "../shared"))
  if not folder.is_dir():
    pytest.skip(f"no shared data at {folder}; set PROD_JAX_SHARED")
  return folder.resolve()
