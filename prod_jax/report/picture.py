"""The curriculum as a picture: two SVGs of one graph.

One runs left to right for wide screens, one top to bottom for phones; the
style sheet shows the one that fits. Where things stand is lineage.py.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from prod_jax.report import lineage, record, tables
from prod_jax.report.markup import Tag, tag

Point = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Shape:
  """Which way the run goes, and lengths in CSS pixels.

  Attributes:
    upright: from top to bottom.
    spacing: along the run.
    lane: width of a lane.
    box: of a train stage, across the lane.
    head: room for the names of the lanes.
    letter: usual width of a letter of a stage's name.
  """

  name: str
  upright: bool
  spacing: lineage.Spacing
  lane: float
  box: float
  head: float
  letter: float

  def at(self, along: float, across: float) -> Point:
    """A place of the graph in the picture."""
    along += self.head
    return (across, along) if self.upright else (along, across)

  def middle(self, lane: int) -> float:
    """The middle of a lane, across."""
    return (lane + 0.5) * self.lane


_GAPS = {"gap": 20.0, "turn": 14.0}
SHAPES = (
  Shape(
    "wide",
    upright=False,
    spacing=lineage.Spacing(box=98.0, marker=38.0, **_GAPS),
    lane=78.0,
    box=44.0,
    head=74.0,
    letter=7.0,
  ),
  Shape(
    "tall",
    upright=True,
    spacing=lineage.Spacing(box=40.0, marker=24.0, **_GAPS),
    lane=85.0,
    box=80.0,
    head=26.0,
    letter=5.8,
  ),
)
_ROUND = 7.0
_ARROW = 5.0
_SYMBOL = 6.0
_BADGE = 5.5
# Markers by kind, from their middle, six pixels to each side.
SYMBOLS = {
  "mine": "m0 -6l6 6l-6 6l-6 -6z",
  "score": "m-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0z",
  "divide": "m0 -6l6 10.5h-12z",
  "filter": "m-6 -6h12l-4.5 6v6h-3v-6z",
  "denoise": "m-6 -6h12v12h-12z",
  "provided": "m0 6l6 -10.5h-12z",
  "imported": "m-6 -6h8l4 4v8h-12z",
  "compare": "m-6 -6l12 12v-12l-12 12z",
  "darken": "m0 -6a6 6 0 1 0 0 12z",
  "cluster": "m-6 -3a3 3 0 1 0 6 0a3 3 0 1 0 -6 0zm6 0a3 3 0 1 0 6 0a3 3 0 1 0 "
  "-6 0zm-3 6a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z",
  "gate": "m-6 -6v12m12 0v-12m-12 3h12m-12 6h12",
  "encode": "m-6 -6h4v12h-4zm8 0h4v12h-4z",
  "evaluate": "m-6 6v-4h3v4zm4.5 0v-8h3v8zm4.5 0v-12h3v12z",
  "accept": "m-6 0l4 5l8 -10",
}
_HEXAGON = "m-6 0l3 -5.5h6l3 5.5l-3 5.5h-6z"
# Badges by kind, and that of a student who was not taken on.
SIGNS = {
  "encode": "m-1.5 -2.5v5m3 -5v5",
  "evaluate": "m-2.5 2.5v-2m2.5 2v-3.5m2.5 3.5v-5",
  "accept": "m-2.5 0l2 2.2l3 -4.4",
  "refuse": "m-2.2 -2.2l4.4 4.4m0 -4.4l-4.4 4.4",
}


def pictures(run: record.Run) -> list[Tag]:
  """The picture in every shape."""
  return [picture(run, shape) for shape in SHAPES]


def picture(run: record.Run, shape: Shape) -> Tag:
  """The picture in one shape."""
  graph = lineage.layout(run, shape.spacing)
  width, height = shape.at(graph.length + 2, len(graph.lanes) * shape.lane)
  order = [
    e for kind in lineage.STRENGTH for e in graph.edges if e.service == kind
  ]
  return tag(
    "svg",
    tag("title", "The curriculum"),
    tag("desc", _description(run, graph)),
    *(_lane(shape, graph, i) for i in range(len(graph.lanes))),
    *(_edge(shape, graph, edge) for edge in order),
    *(_node(shape, run, graph, node) for node in graph.nodes.values()),
    class_=f"curriculum {shape.name}",
    role="img",
    viewBox=f"0 0 {width:g} {height:g}",
    style=f"max-width:{width:g}px;min-width:{0.85 * width:g}px",
  )


def _description(run: record.Run, graph: lineage.Graph) -> str:
  lines = [
    f"{s.name} trains {s.model}, taught by {s.taught_by or 'nobody'}, "
    f"{_outcome(run, s)}"
    for s in run.trained()
  ]
  return f"{len(graph.lanes)} models in lanes. " + "; ".join(lines) + "."


def _outcome(run: record.Run, stage: record.Stage) -> str:
  value = run.value(stage.name, record.HEADLINE)
  if value is not None:
    return f"MRR@10 {tables.number(value)}"
  return "not measured" if stage.ran else tables.missing(stage)


def _lane(shape: Shape, graph: lineage.Graph, lane: int) -> Tag:
  middle = shape.middle(lane)
  x, y = (middle, 15.0) if shape.upright else (8.0, middle + 4)
  left, top = shape.at(-shape.head, middle - shape.lane / 2 + 3)
  right, bottom = shape.at(graph.length + 2, middle + shape.lane / 2 - 3)
  stripe = tag(
    "rect", x=left, y=top, width=right - left, height=bottom - top, rx=6
  )
  anchor = "middle" if shape.upright else "start"
  room = shape.lane if shape.upright else shape.head
  name = _fitted(graph.lanes[lane], room - 4, shape.letter)
  label = tag("text", name, x=x, y=y, text_anchor=anchor)
  return tag("g", stripe, label, class_="lane")


def _node(
  shape: Shape, run: record.Run, graph: lineage.Graph, node: lineage.Node
) -> Tag:
  draw = _box if node.is_box else _marker
  badges = graph.badges.get(node.stage.name, ())
  return tag(
    "g",
    tag("title", _said(node.stage)),
    *draw(shape, run, node),
    *(_badge(shape, node, i, stage) for i, stage in enumerate(badges)),
    class_=_classes("node", node.stage),
  )


def _classes(first: str, stage: record.Stage) -> str:
  classes = [first, stage.kind] + ["pending"] * (not stage.ran)
  return " ".join(classes + ["student"] * (stage.model == record.STUDENT))


def _said(stage: record.Stage) -> str:
  """What a pointer reads at a stage."""
  words = f"{stage.name} ({stage.kind})"
  if not stage.ran:
    return f"{words}, {tables.missing(stage)}"
  said = f"; {stage.said}" * bool(stage.said)
  return f"{words}, {stage.seconds / 60:.1f} min{said}"


def _badge(
  shape: Shape, node: lineage.Node, at: int, stage: record.Stage
) -> Tag:
  """A sign on the lower edge of a box, the first one at its right."""
  across = shape.middle(node.lane)
  right, bottom = shape.at(node.end, across + shape.box / 2)
  kind = stage.kind
  if kind == "accept" and stage.chose not in ("", stage.inputs["encoded"]):
    kind = "refuse"
  x, y = right - 10 - 13 * at, bottom
  return tag(
    "g",
    tag("title", _said(stage)),
    tag("circle", cx=x, cy=y, r=_BADGE),
    tag("path", d=_sign(kind, x, y)),
    class_=_classes("badge", stage),
  )


def _box(shape: Shape, run: record.Run, node: lineage.Node) -> list[Tag]:
  middle = shape.middle(node.lane)
  left, top = shape.at(node.start, middle - shape.box / 2)
  right, bottom = shape.at(node.end, middle + shape.box / 2)
  x, y = (left + right) / 2, (top + bottom) / 2
  name = _short(node.stage, right - left - 4, shape.letter)
  text: dict[str, Any] = {"x": x, "text_anchor": "middle"}
  return [
    tag("rect", x=left, y=top, width=right - left, height=bottom - top, rx=5),
    tag("text", name, y=y - 4, class_="name", **text),
    tag("text", _outcome(run, node.stage), y=y + 12, class_="value", **text),
  ]


def _marker(shape: Shape, run: record.Run, node: lineage.Node) -> list[Tag]:
  x, y = shape.at(node.middle, shape.middle(node.lane))
  # Lines leave the first lane to one side and all others to the other.
  side = -1 if node.lane == 0 else 1
  if shape.upright:
    place = {"x": x + side * 10, "y": y + 3.5}
    anchor = "end" if side < 0 else "start"
  else:
    place = {"x": x, "y": y + (-11 if side < 0 else 19)}
    anchor = "middle"
  kind = node.stage.kind
  label = tag("text", kind, class_="kind", text_anchor=anchor, **place)
  return [tag("path", d=_symbol(kind, x, y)), label]


def _symbol(kind: str, x: float, y: float) -> str:
  """The path of a kind's marker; a hexagon for one that is not ours."""
  return f"M{x:g} {y:g}{SYMBOLS.get(kind, _HEXAGON)}"


def _sign(kind: str, x: float, y: float) -> str:
  return f"M{x:g} {y:g}{SIGNS[kind]}"


def _edge(shape: Shape, graph: lineage.Graph, edge: lineage.Edge) -> Tag:
  source, target = graph.nodes[edge.source], graph.nodes[edge.target]
  points = [shape.at(*p) for p in _places(shape, graph, source, target)]
  line = tag("path", d=_rounded(points))
  tip = tag("path", d=_arrow(shape, points[-1]), class_="head")
  whose = "student" if target.stage.model == record.STUDENT else "teacher"
  return tag("g", line, tip, class_=f"edge {edge.service} {whose}")


def _places(
  shape: Shape,
  graph: lineage.Graph,
  source: lineage.Node,
  target: lineage.Node,
) -> list[Point]:
  """The corners of a line between two nodes, along and across."""
  leaves = source.end if source.is_box else source.middle
  ends = target.start if target.is_box else target.middle - _SYMBOL
  here, there = shape.middle(source.lane), shape.middle(target.lane)
  first, last = (leaves, here), (ends, there)
  turn = target.start - shape.spacing.turn
  if source.lane != target.lane:
    return [first, (turn, here), (turn, there), last]
  blocked = any(
    node.is_box and node.lane == source.lane
    for node in graph.nodes.values()
    if source.end <= node.start and node.end <= target.start
  )
  if not blocked:
    return [first, last]
  # Around the boxes in between, which it has nothing to do with.
  aside, begin, end = here + shape.box / 2 + 9, leaves + 6, turn + 9
  return [first, (begin, here), (begin, aside), (end, aside), (end, here), last]


def _rounded(points: Sequence[Point]) -> str:
  """A path through the points with its corners rounded."""
  parts = [f"M{points[0][0]:g} {points[0][1]:g}"]
  corners = zip(points, points[1:], points[2:], strict=False)
  for before, corner, after in corners:
    enter, leave = _towards(corner, before), _towards(corner, after)
    parts.append(
      f"L{enter[0]:g} {enter[1]:g}"
      f"Q{corner[0]:g} {corner[1]:g} {leave[0]:g} {leave[1]:g}"
    )
  return "".join([*parts, f"L{points[-1][0]:g} {points[-1][1]:g}"])


def _towards(start: Point, goal: Point) -> Point:
  """The place a corner's radius on the way; half way if that is nearer."""
  dx, dy = goal[0] - start[0], goal[1] - start[1]
  length = max((dx * dx + dy * dy) ** 0.5, 1e-9)
  share = min(_ROUND / length, 0.5)
  return start[0] + share * dx, start[1] + share * dy


def _arrow(shape: Shape, tip: Point) -> str:
  x, y = tip
  a = _ARROW
  if shape.upright:
    return f"M{x:g} {y:g}l{-a} {-a}h{2 * a}z"
  return f"M{x:g} {y:g}l{-a} {-a}v{2 * a}z"


def _short(stage: record.Stage, room: float, letter: float) -> str:
  """A stage's name; what the lane says anyway goes first if it is too long."""
  if len(stage.name) * letter <= room:
    return stage.name
  rest = stage.name.removeprefix(f"{stage.model}_")
  return _fitted(rest, room, letter)


def _fitted(text: str, room: float, letter: float) -> str:
  """A text without its middle, if there is no room for it."""
  most = max(int(room / letter), 3)
  if len(text) <= most:
    return text
  return f"{text[: most - most // 2 - 1]}…{text[-(most // 2) :]}"
