"""Rankers as a command line names them.

  bm25, bm25:LANGUAGE     words; of a language's stems where one is named
  FILE.trec, FILE.run     a TREC run of any tool
  WORKDIR:STAGE           what a train stage has made
  WORKDIR:MODEL           a model of a run, with its config's weights
  FOLDER, NAME/MODEL      a model as it is, in a folder or on a hub, see
                          as_it_is.py

each with LABEL= in front, or under a name that it is given here.
"""

import collections
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from prod_jax import strict
from prod_jax.stages import folders

RUNS = (".trec", ".run")
BM25 = "bm25"
TAKEN = "WORKDIR:STAGE, WORKDIR:MODEL, a model's folder or a hub's NAME/MODEL"
_LABELLED = re.compile(r"([\w.-]+)=(.+)")


class System(NamedTuple):
  """A ranker as the command line names it.

  Attributes:
    label: by which it is known.
    spec: what it is, as above.
  """

  label: str
  spec: str

  @property
  def stage(self) -> tuple[str, str]:
    """Working folder, and a stage or model of it; both "" where it is none."""
    workdir, _, stage = self.spec.rpartition(":")
    is_stage = workdir not in ("", BM25) and "/" not in stage
    return (workdir, stage) if is_stage and not is_run(self.spec) else ("", "")


def parse(words: Sequence[str]) -> list[System]:
  """The systems of a command line, each SPEC or LABEL=SPEC.

  Raises:
    ConfigError: two have one label.
  """
  given = [*map(split, words)]
  names = collections.Counter(s.label or _name_of(s) for s in given)
  found: list[System] = []
  for word, (label, spec) in zip(words, given, strict=True):
    system = System(label, spec)
    if not label:
      name = _name_of(system)
      system = System(_whole_name(system) if names[name] > 1 else name, spec)
    if any(system.label == other.label for other in found):
      raise strict.ConfigError(
        f"two systems are called {system.label!r}; name them apart, as "
        f"first={word}"
      )
    found.append(system)
  return found


def split(word: str) -> System:
  """A word of a command line, with "" for a label where it has none."""
  match = _LABELLED.fullmatch(word)
  return System(*match.groups()) if match else System("", word)


def is_run(spec: str) -> bool:
  """Whether a system is a file with a TREC run, packed by gzip or not."""
  return spec.removesuffix(".gz").endswith(RUNS)


def no_model(system: System, taken: str) -> strict.ConfigError:
  """Says that a system is no folder of a model, but perhaps something else."""
  said = f"{system.spec!r} is no system: {folders.absent(system.spec)}"
  return strict.ConfigError(f"{said}; it takes {taken}")


def check_searches(system: System) -> None:
  """Raises ConfigError for what ranks, and has no vectors to search with.

  A set need not be opened to find that.
  """
  spec = system.spec
  if is_run(spec) or spec.split(":")[0] == BM25:
    what = "a TREC run" if is_run(spec) else "no model"
    raise strict.ConfigError(
      f"{spec!r} is {what}: `prod_jax evaluate` takes it, and search takes "
      f"WORKDIR, {TAKEN}"
    )
  if pathlib.Path(spec).is_file():
    raise no_model(system, f"WORKDIR, {TAKEN}")


def _name_of(system: System) -> str:
  """A label of a system that has been given none."""
  _, stage = system.stage
  if stage:
    return stage
  if is_run(system.spec):
    return pathlib.Path(system.spec.removesuffix(".gz")).stem
  return system.spec.rstrip("/").rpartition("/")[2].partition("@")[0]


def _whole_name(system: System) -> str:
  """The same, of a stage with its run's."""
  workdir, stage = system.stage
  if not stage:
    return _name_of(system)
  return f"{workdir.rstrip('/').rpartition('/')[2]}.{stage}"
