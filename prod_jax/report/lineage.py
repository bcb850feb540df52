"""The stages of a run and what feeds what, as a graph with places.

Train stages, and whatever is made for them, are its nodes; a model's nodes
share a lane. A stage that embeds, measures or takes on what a train stage has
made is a badge of that node. The places are abstract, along the run and across
its lanes; picture.py draws them.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal, get_args

from prod_jax.report import record

BOX = "train"
BADGES = ("encode", "evaluate", "accept")
_TEACHING = ("scores", "teacher")
# Lanes of stages without a model.
_ORIGINS = {"provided": "the set", "imported": "a file"}

# How one node serves the next, weakest first: it reads it, may run because of
# it, starts from its parameters, or is taught by it.
Service = Literal["feeds", "decides", "starts", "teaches"]
STRENGTH: tuple[Service, ...] = get_args(Service)


@dataclasses.dataclass(frozen=True)
class Spacing:
  """Lengths along the run, in the unit of the picture.

  Attributes:
    box: of a train stage.
    marker: of anything else.
    gap: between two nodes of a lane.
    turn: from where a line leaves its lane to the node it ends in.
  """

  box: float
  marker: float
  gap: float
  turn: float


@dataclasses.dataclass(frozen=True)
class Node:
  """A stage with its place."""

  stage: record.Stage
  lane: int
  start: float
  end: float

  @property
  def is_box(self) -> bool:
    return self.stage.kind == BOX

  @property
  def middle(self) -> float:
    return (self.start + self.end) / 2


@dataclasses.dataclass(frozen=True)
class Edge:
  """Two nodes by name, and what the first does for the second."""

  source: str
  target: str
  service: Service


@dataclasses.dataclass(frozen=True)
class Graph:
  """A graph with places.

  Attributes:
    nodes: by the name of their stage.
    edges: between them.
    lanes: the model of each.
    badges: stages by the node that they are a badge of.
  """

  nodes: Mapping[str, Node]
  edges: Sequence[Edge]
  lanes: Sequence[str]
  badges: Mapping[str, Sequence[record.Stage]]

  @property
  def length(self) -> float:
    return max((node.end for node in self.nodes.values()), default=0.0)


def layout(run: record.Run, spacing: Spacing) -> Graph:
  """Gives each drawn stage a place: after what it reads, in its model's lane.

  Stages that do not wait for each other stand side by side.
  """
  badges: dict[str, list[record.Stage]] = {}
  drawn: dict[str, record.Stage] = {}
  for stage in run.stages.values():
    if box := _box_of(run, stage):
      badges.setdefault(box.name, []).append(stage)
    else:
      drawn[stage.name] = stage
  models = {name: _lane(run, stage) for name, stage in drawn.items()}
  others = [m for m in dict.fromkeys(models.values()) if m != record.STUDENT]
  lanes = [record.STUDENT] * (record.STUDENT in models.values()) + others
  edges = _reduced([e for s in drawn.values() for e in _edges(run, s, drawn)])
  nodes: dict[str, Node] = {}
  ends = [-spacing.gap] * len(lanes)
  for stage in drawn.values():
    lane = lanes.index(models[stage.name])
    begins = [ends[lane] + spacing.gap]
    for edge in edges:
      if edge.target == stage.name and edge.source in nodes:
        source = nodes[edge.source]
        leaves = source.end if source.is_box else source.middle
        begins.append(leaves + spacing.turn)
    size = spacing.box if stage.kind == BOX else spacing.marker
    nodes[stage.name] = Node(stage, lane, max(begins), max(begins) + size)
    ends[lane] = nodes[stage.name].end
  return Graph(nodes, edges, lanes, badges)


def _box_of(run: record.Run, stage: record.Stage) -> record.Stage | None:
  """The train stage that a stage is a badge of; None where it is none."""
  if stage.kind not in BADGES:
    return None
  role = "params" if stage.kind == "encode" else "encoded"
  if "rerank" in stage.inputs or stage.settings.get("rerank"):
    role = "rerank"
  return run.trainer(stage.inputs.get(role, ""))


def _lane(run: record.Run, stage: record.Stage) -> str:
  """The model that a stage trains or runs; a gate is its teacher's."""
  if stage.kind == "gate":
    name = stage.inputs.get("teacher", "")
    teacher = run.stages.get(name)
    return run.model_behind(teacher) if teacher else stage.settings["teacher"]
  return run.model_behind(stage) or _ORIGINS.get(stage.kind, stage.kind)


def _edges(
  run: record.Run, stage: record.Stage, drawn: Collection[str]
) -> Iterator[Edge]:
  found: dict[str, Service] = {}
  for role, name in stage.inputs.items():
    service: Service = "feeds"
    if stage.kind == BOX and role in _TEACHING:
      service = "teaches"
    elif role == "init":
      service = "starts"
    elif role == "gate":
      service = "decides"
    for source in _sources(run, name, drawn):
      found[source] = max(
        service, found.get(source, "feeds"), key=STRENGTH.index
      )
  for source, service in found.items():
    yield Edge(source, stage.name, service)


def _sources(run: record.Run, name: str, drawn: Collection[str]) -> list[str]:
  """A stage itself if it is drawn, or what it passes on."""
  if name not in run.stages:
    return []
  stage = run.stages[name]
  if name in drawn:
    return [name]
  if stage.kind == "accept":
    return _sources(run, stage.chose or stage.inputs["encoded"], drawn)
  return [s for n in stage.inputs.values() for s in _sources(run, n, drawn)]


def _reduced(edges: Sequence[Edge]) -> list[Edge]:
  """Without the feeding edges that a longer way already implies."""
  parents: dict[str, set[str]] = {}
  for edge in edges:
    parents.setdefault(edge.target, set()).add(edge.source)
  above: dict[str, set[str]] = {}
  for target, direct in parents.items():  # in the order in which stages run
    above[target] = direct.union(*(above.get(p, ()) for p in direct))
  return [
    edge
    for edge in edges
    if edge.service != "feeds"
    or not any(
      edge.source in above.get(parent, ()) for parent in parents[edge.target]
    )
  ]
