"""Which student an accept stage has chosen, as later stages read it.

An accept stage makes nothing: it names one of the encode stages that it reads.
Whoever reads it gets that stage's vectors, or the weights that these were made
with.
"""

import pathlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from prod_jax import json_files, kinds, strict

if TYPE_CHECKING:
  from prod_jax.stages.run import Run

ACCEPTED = "accepted.json"


class Folders:
  """Folders of the stages in some roles; of an accept stage, what it chose.

  No `Mapping`, which knows all its values: these are known when they are asked
  for, since a job is described before the stages that it reads have run.
  """

  def __init__(self, run: "Run", stages: Mapping[str, str]):
    self._run, self._stages = run, stages

  def __getitem__(self, role: str) -> pathlib.Path:
    return self._run.folder(chosen(self._run, self._stages[role]))

  def __iter__(self) -> Iterator[str]:
    return iter(self._stages)

  def __contains__(self, role: str) -> bool:
    return role in self._stages


def chosen(run: "Run", name: str) -> str:
  """The encode stage that an accept stage chose; of others the stage itself.

  Raises:
    ConfigError: it has not chosen yet.
  """
  if not isinstance(run.config.stages.get(name), kinds.Accept):
    return name
  path = run.folder(name) / ACCEPTED
  if not path.is_file():
    raise strict.ConfigError(f"{name} has not chosen yet: there is no {path}")
  return json_files.read(path, {"encoded": str}, "run its stage again")[
    "encoded"
  ]


def trained(run: "Run", name: str) -> str:
  """The train stage, or model as it is, behind an accept stage's choice.

  Of other stages the stage itself.
  """
  encoded = chosen(run, name)
  return name if encoded == name else run.stage(encoded).params


def alternatives(run: "Run", name: str) -> list[str]:
  """The encode stages that a name may stand for: itself, or all to choose of.

  The candidate comes first.
  """
  stage = run.config.stages.get(name)
  if not isinstance(stage, kinds.Accept):
    return [name]
  roles = (stage.encoded, stage.before, stage.base)
  found = (alternatives(run, role) for role in roles if role)
  return list(dict.fromkeys(name for names in found for name in names))
