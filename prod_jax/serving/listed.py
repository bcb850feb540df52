"""The systems of a run, or of a command line, not opened yet.

Of a run these are the models whose vectors are there: the student as it stood
behind each stage, and its teachers, with the cross-encoders among them. What a
command line names is as of export/named.py; it embeds a set now.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prod_jax import kinds, strict
from prod_jax.export import as_it_is, finished, systems
from prod_jax.export.as_it_is import Reader
from prod_jax.export.named import System
from prod_jax.export.task import Task
from prod_jax.report import record
from prod_jax.retrieval import encode
from prod_jax.serving import vectors
from prod_jax.serving.searchers import ByPairs, ByVectors, Searcher
from prod_jax.stages import accepted
from prod_jax.stages.run import Run

STUDENT, TEACHER, OTHER = "student", "teacher", "other"
VECTORS = "vectors"  # of a cache
_READS_PAIRS = ("cross", "late")
_WITH_MODELS = ("train", "encode", "accept")  # kinds of stages

# Opens a system, given what opens others by their name.
Open = Callable[[Callable[[str], Searcher]], Searcher]


@dataclasses.dataclass(frozen=True)
class Listed:
  """A system that can be asked.

  Attributes:
    name: by which it is asked for.
    role: one of those above; students stand in the order of their stages.
    open: as of `Open`.
    taught_by: of a train stage: "labels" or its teacher.
    began: the listed system that its training began from, "" where none did.
    refused: whether an accept stage has not taken it on.
    figures: of the run's evaluation, by metric.
    scann: recall of a ScaNN index of its vectors, None where nobody measured.
  """

  name: str
  role: str
  open: Open
  taught_by: str = ""
  began: str = ""
  refused: bool = False
  figures: Mapping[str, float] = dataclasses.field(default_factory=dict)
  scann: float | None = None

  def described(self) -> dict[str, Any]:
    """What JSON says of it."""
    return {
      "name": self.name,
      "role": self.role,
      "taught_by": self.taught_by or None,
      "began": self.began or None,
      "refused": self.refused,
      "figures": dict(self.figures),
    }

  def recall(self, index: str) -> float | None:
    """Of an index of this kind, against exact search."""
    return {"exact": 1.0, "scann": self.scann}.get(index)


# Of a run.


@dataclasses.dataclass(frozen=True)
class Stages:
  """What the stages of a run have left to search with.

  Attributes:
    run: whose stages they are.
    left: what these have left.
    cache: folder for vectors that no stage has made.
  """

  run: Run
  left: record.Run
  cache: pathlib.Path

  def chosen(self, stage: str = "") -> str:
    """The train stage, or model as it is, that is searched with.

    Args:
      stage: a train, encode or accept stage, or a model; "" is the student
        that was accepted last, or else the one that was trained last.

    Raises:
      ConfigError: there is no such stage, or no student yet.
    """
    config = self.run.config
    if stage:
      if stage not in {*config.stages, *config.models}:
        raise strict.ConfigError(
          f"--stage: {stage!r} is no stage; there are "
          f"{', '.join(config.stages)}"
        )
      return self._behind(stage)
    ended = [s for s in self.left.stages.values() if s.ran]
    accepts = [s.name for s in ended if s.kind == "accept"]
    trained = [s.name for s in ended if s.kind == "train"]
    found = [*map(self._behind, accepts[-1:]), *trained[::-1], *self._encoded]
    for name in found:
      if self.run.model_name(name) == self._student:
        return name
    raise strict.ConfigError(
      f"no student of {self.left.workdir.name} has been trained yet; let the "
      "run go on"
    )

  def listed(self, chosen: str) -> list[Listed]:
    """All that can be asked, students first.

    Args:
      chosen: is among them even where no stage has embedded with it. Of the
        teachers its own is the first.

    Raises:
      ConfigError: it has no model, or one that is not of kind dual.
    """
    stage = self.run.config.stages.get(chosen)
    if stage and stage.kind not in _WITH_MODELS:
      raise strict.ConfigError(
        f"--stage: {chosen!r} is of kind {stage.kind}; name one of kind "
        f"{', '.join(_WITH_MODELS)}"
      )
    model = self.run.model_name(chosen)
    if (kind := self.run.model_config(model).kind) != "dual":
      raise strict.ConfigError(
        f"--stage: {chosen} is a model of kind {kind}, which orders what "
        "another one found; name one of kind dual"
      )
    names = list(dict.fromkeys([*self._encoded, chosen]))
    students = [n for n in names if self.run.model_name(n) == model]
    others = [n for n in names if n not in students]
    teachers = [*others[::-1], *self._reading_pairs[::-1]]
    taught_by = self._taught_by(chosen)
    return [
      *(self._one(n, STUDENT, chosen) for n in sorted(students, key=self._at)),
      *(
        self._one(n, TEACHER, chosen)
        for n in sorted(teachers, key=lambda n: n != taught_by)
      ),
    ]

  def _one(self, name: str, role: str, chosen: str) -> Listed:
    measured = self.left.measured.get(name)
    return Listed(
      name=name,
      role=role,
      open=functools.partial(self._open, name, chosen),
      taught_by=self._taught_by(name),
      began=self._began(name),
      refused=name in self.left.refused,
      figures=measured.values if measured else {},
      scann=self._recall(name),
    )

  def _open(
    self, name: str, chosen: str, opened: Callable[[str], Searcher]
  ) -> Searcher:
    reader = self._reader(name)
    if stage := self._encoded.get(name):
      return ByVectors(name, reader, self._vectors(stage))
    tokens = self.run.tokens_of(self.run.model_name(name)).passages
    if name != chosen:
      return ByPairs(name, reader, tokens, chosen, opened(chosen))
    collection = self.run.dataset.passages.fingerprint
    made = vectors.kept(self.cache, reader, tokens, collection, name)
    return ByVectors(name, reader, made)

  def _vectors(self, stage: str) -> encode.Shards:
    """Those that an encode stage has left."""
    finished.check_set(self.run, stage)
    folder = finished.folder_of(self.run, stage, f"passages/{encode.MANIFEST}")
    return encode.open_shards(folder / "passages")

  def _reader(self, name: str) -> Reader:
    if name in self.run.config.stages:
      return systems.reader_of(finished.stage_of(self.run, name))
    return as_it_is.of_run(self.run, name)

  @functools.cached_property
  def _encoded(self) -> dict[str, str]:
    """The encode stages that have ended, by what they embed with."""
    found: dict[str, str] = {}
    for name, stage in self.run.config.stages.items():
      if isinstance(stage, kinds.Encode) and self.left.stages[name].ran:
        found.setdefault(accepted.trained(self.run, stage.params), name)
    return found

  @functools.cached_property
  def _reading_pairs(self) -> list[str]:
    """The train stages that have ended, of models that order passages."""
    return [
      stage.name
      for stage in self.left.trained()
      if stage.ran and self.run.model_config(stage.model).kind in _READS_PAIRS
    ]

  @property
  def _student(self) -> str:
    """The model that the last train stage of kind dual trains, ended or not."""
    models = [
      stage.model
      for stage in self.run.config.stages.values()
      if isinstance(stage, kinds.Train)
      and self.run.model_config(stage.model).kind == "dual"
    ]
    return models[-1] if models else ""

  def _behind(self, stage: str) -> str:
    """What a stage trains, embeds with or has accepted."""
    said = self.run.config.stages.get(stage)
    name = said.params if isinstance(said, kinds.Encode) else stage
    return accepted.trained(self.run, name)

  def _taught_by(self, name: str) -> str:
    stage = self.left.stages.get(name)
    return stage.taught_by if stage else ""

  def _began(self, name: str) -> str:
    """The last one before it on its way whose vectors are there."""
    stage = self.left.stages.get(name)
    began = self.left.began(stage) if stage else ""
    return began if began in {"", *self._encoded} else self._began(began)

  def _at(self, name: str) -> int:
    """Its place in the run; a model as it is stands before all stages."""
    stages = list(self.run.config.stages)
    return stages.index(name) if name in stages else -1

  def _recall(self, name: str) -> float | None:
    """Of ScaNN among these vectors, as an evaluate stage has measured it."""
    found = (
      row["index_recall"]
      for row in self.left.results
      if row["model_stage"] == name
      and row["index"] == "scann"
      and record.is_number(row.get("index_recall"))
    )
    return next(found, None)


# Of a command line.


def of_task(found: Sequence[System], task: Task) -> list[Listed]:
  """The systems of a command line, of which the first one finds passages."""
  first = found[0].label
  return [
    Listed(
      system.label,
      STUDENT if system.label == first else OTHER,
      functools.partial(_open, system, first, task),
    )
    for system in found
  ]


def _open(
  system: System,
  first: str,
  task: Task,
  opened: Callable[[str], Searcher],
) -> Searcher:
  reader = systems.open_model(system, task)
  if reader.kind in _READS_PAIRS and system.label != first:
    tokens = systems.tokens_of(reader, task).passages
    return ByPairs(system.label, reader, tokens, first, opened(first))
  if reader.kind != "dual":
    raise strict.ConfigError(
      f"{system.label} is a model of kind {reader.kind}, which finds nothing "
      "by itself; name one of kind dual in front of it"
    )
  tokens = systems.tokens_of(reader, task).passages
  collection = task.dataset.passages.fingerprint
  made = vectors.kept(
    task.folder / VECTORS, reader, tokens, collection, system.label
  )
  return ByVectors(system.label, reader, made)
