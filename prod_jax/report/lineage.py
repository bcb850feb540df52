"""The stages of a run and what feeds what, as a graph with places.

Train stages, and what is mined, scored, divided, filtered or denoised for them,
are its nodes; a model's nodes share a lane. Encode and evaluate stages only
pass things on and are left out. The places are abstract, along the run and
across its lanes; picture.py draws them.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from prod_jax.report import record

DRAWN = ("train", "mine", "score", "divide", "filter", "denoise")
_TEACHING = ("scores", "teacher")

# How one node serves the next: its scores teach it, its parameters are where
# it starts, or anything else that it reads.
Service = Literal["teaches", "starts", "feeds"]
STRENGTH: tuple[Service, ...] = ("feeds", "starts", "teaches")


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
    return self.stage.kind == "train"

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
  """Nodes by stage name, edges, and the model of each lane."""

  nodes: Mapping[str, Node]
  edges: Sequence[Edge]
  lanes: Sequence[str]

  @property
  def length(self) -> float:
    return max((node.end for node in self.nodes.values()), default=0.0)


def layout(run: record.Run, spacing: Spacing) -> Graph:
  """Gives each drawn stage a place: after what it reads, in its model's lane.

  Stages that do not wait for each other stand side by side.
  """
  drawn = [s for s in run.stages.values() if s.kind in DRAWN]
  models = {stage.name: _model(run, stage) for stage in drawn}
  others = [m for m in dict.fromkeys(models.values()) if m != record.STUDENT]
  lanes = [record.STUDENT] * (record.STUDENT in models.values()) + others
  edges = _reduced([e for stage in drawn for e in _edges(run, stage)])
  nodes: dict[str, Node] = {}
  ends = [-spacing.gap] * len(lanes)
  for stage in drawn:
    lane = lanes.index(models[stage.name])
    begins = [ends[lane] + spacing.gap]
    for edge in edges:
      if edge.target == stage.name and edge.source in nodes:
        source = nodes[edge.source]
        leaves = source.end if source.is_box else source.middle
        begins.append(leaves + spacing.turn)
    size = spacing.box if stage.kind == "train" else spacing.marker
    nodes[stage.name] = Node(stage, lane, max(begins), max(begins) + size)
    ends[lane] = nodes[stage.name].end
  return Graph(nodes, edges, lanes)


def _model(run: record.Run, stage: record.Stage) -> str:
  """The model that a stage trains or runs."""
  trained = run.trainer(stage.name)
  return (trained.model if trained else "") or stage.kind


def _edges(run: record.Run, stage: record.Stage) -> Iterator[Edge]:
  found: dict[str, Service] = {}
  for role, name in stage.inputs.items():
    if role == "gate":
      continue  # it says whether the stage runs, and gives it nothing
    service: Service = "feeds"
    if stage.kind == "train" and role in _TEACHING:
      service = "teaches"
    elif role == "init":
      service = "starts"
    for source in _sources(run, name):
      found[source] = max(
        service, found.get(source, "feeds"), key=STRENGTH.index
      )
  for source, service in found.items():
    yield Edge(source, stage.name, service)


def _sources(run: record.Run, name: str) -> list[str]:
  """A stage itself if it is drawn, or what it passes on."""
  if name not in run.stages:
    return []
  stage = run.stages[name]
  if stage.kind in DRAWN:
    return [name]
  if stage.kind == "accept":
    return _sources(run, stage.chose or stage.inputs["encoded"])
  return [s for read in stage.inputs.values() for s in _sources(run, read)]


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
