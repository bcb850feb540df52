"""The graph of a run: who feeds whom, and where everyone stands."""

import dataclasses
import json

import pytest

from prod_jax import stages
from prod_jax.report import lineage, picture, record
from prod_jax.report.markup import render

SPACING = lineage.Spacing(box=100.0, marker=40.0, gap=10.0, turn=20.0)


def edges(graph):
  return {(e.source, e.target): e.service for e in graph.edges}


def test_edges_pass_through_encode_stages_and_leave_out_the_obvious(workdir):
  graph = lineage.layout(record.load(workdir), SPACING)
  assert edges(graph) == {
    ("student_warm", "student_de"): "starts",
    ("teacher_de", "mine_1"): "feeds",
    ("teacher_de", "student_de"): "teaches",
    ("mine_1", "student_de"): "feeds",
    ("mine_1", "ce_1"): "feeds",
    ("ce_1", "score_1"): "feeds",
    # mine_1 -> score_1 and mine_1 -> student_final go by way of these.
    ("student_de", "student_final"): "starts",
    ("score_1", "student_final"): "teaches",
  }


def test_a_lane_is_a_model_and_the_student_has_the_first(workdir):
  graph = lineage.layout(record.load(workdir), SPACING)
  assert graph.lanes == ["student", "teacher_de", "ce_1"]
  lanes = {name: node.lane for name, node in graph.nodes.items()}
  assert lanes["mine_1"] == 1
  assert lanes["score_1"] == 2
  assert lanes["student_final"] == 0
  assert "encode_warm" not in lanes


def test_places_follow_what_is_read(workdir):
  graph = lineage.layout(record.load(workdir), SPACING)
  spans = {name: (n.start, n.end) for name, n in graph.nodes.items()}
  assert spans["student_warm"] == spans["teacher_de"] == (0, 100)
  assert spans["mine_1"] == (120, 160)  # a turn after what it reads
  assert spans["student_de"] == (160, 260)  # a turn after mine_1's middle
  assert spans["ce_1"] == (160, 260)  # beside it, in its own lane
  assert spans["score_1"] == (280, 320)
  assert spans["student_final"] == (320, 420)
  assert graph.length == 420


def test_nodes_of_a_lane_do_not_overlap(workdir):
  path = workdir / "curriculum.json"
  written = json.loads(path.read_text())
  mine = next(s for s in written["stages"] if s["name"] == "mine_1")
  written["stages"].append({**mine, "name": "mine_again"})
  path.write_text(json.dumps(written))
  nodes = lineage.layout(record.load(workdir), SPACING).nodes
  assert nodes["mine_again"].lane == nodes["mine_1"].lane
  assert nodes["mine_again"].start == nodes["mine_1"].end + SPACING.gap


def test_what_an_accept_stage_has_chosen_is_where_the_next_one_starts(workdir):
  """A refused student stands beside the way, and a gate gives nothing."""
  run = record.load(workdir)
  made = {
    name: dataclasses.replace(
      run.stages["student_de"],
      name=name,
      kind=kind,
      inputs=inputs,
      chose=chose,
    )
    for name, kind, inputs, chose in (
      ("one", "train", {}, ""),
      ("encode_one", "encode", {"params": "one"}, ""),
      ("gate", "gate", {"encoded": "encode_one", "teacher": "ce_1"}, ""),
      ("two", "train", {"init": "one", "gate": "gate"}, ""),
      ("encode_two", "encode", {"params": "two"}, ""),
      (
        "accept",
        "accept",
        {"encoded": "encode_two", "before": "encode_one"},
        "encode_one",
      ),
      ("three", "train", {"init": "accept"}, ""),
    )
  }
  run = dataclasses.replace(run, stages={**run.stages, **made})
  graph = lineage.layout(run, SPACING)
  found = edges(graph)
  assert found["one", "three"] == found["one", "two"] == "starts"
  assert found["gate", "two"] == "decides"
  assert found["ce_1", "gate"] == found["one", "gate"] == "feeds"
  assert graph.lanes[graph.nodes["gate"].lane] == "ce_1"
  badges = {box: [s.name for s in of] for box, of in graph.badges.items()}
  assert badges["one"] == ["encode_one"]
  assert badges["two"] == ["encode_two", "accept"]
  assert badges["ce_1"] == ["evaluate_ce"]  # which another one has retrieved
  assert ("two", "three") not in found and ("ce_1", "two") not in found
  assert run.trainer("accept").name == "one"


@pytest.mark.parametrize("kind", [*stages.KINDS, "of-somebody-else"])
def test_every_kind_of_stage_has_its_place_in_the_picture(workdir, kind):
  run = record.load(workdir)
  made = dataclasses.replace(
    run.stages["mine_1"],
    name="own",
    kind=kind,
    model="",
    inputs={},
    settings={"params": "teacher_de", "teacher": "ce_1"},
  )
  run = dataclasses.replace(run, stages={**run.stages, "own": made})
  graph = lineage.layout(run, SPACING)
  assert "own" in graph.nodes
  for drawn in map(render, picture.pictures(run)):
    assert f"<title>own ({kind}), 1.5 min</title>" in drawn
  own = kind in (lineage.BOX, *picture.SYMBOLS)
  assert own == (kind in stages.KINDS), "it has no sign of its own"


def test_badges_are_signs_at_the_box_of_their_model(refused):
  run = record.load(refused)
  wide, _ = map(render, picture.pictures(run))
  assert {*lineage.BADGES, "refuse"} == picture.SIGNS.keys()
  boxes = dict.fromkeys(s.name for s in run.trained())
  for box in boxes:
    inside = wide.partition(f"<title>{box} (train)")[2].partition("node ")[0]
    boxes[box] = inside.count('class="badge')
  assert boxes == {
    "student_warm": 2,
    "teacher_de": 2,
    "student_de": 3,
    "ce_1": 1,
    "student_final": 0,
    "after_final": 0,
  }
  assert wide.count(picture.SIGNS["refuse"]) == 1


def test_stages_without_a_model_have_lanes_of_their_own(workdir):
  run = record.load(workdir)
  mine = run.stages["mine_1"]
  own = {
    kind: dataclasses.replace(mine, name=kind, kind=kind, inputs={})
    for kind in ("provided", "imported")
  }
  run = dataclasses.replace(run, stages={**run.stages, **own})
  assert lineage.layout(run, SPACING).lanes[-2:] == ["the set", "a file"]
