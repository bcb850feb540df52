"""A small run, written by hand: the artefacts of twelve stages.

Three queries, of which `student_de` wins q1, loses q2 and keeps q3 against
`student_warm`; one cross-encoder; one stage that has not run.
"""

import json
import pathlib

import numpy as np
import pytest

from prod_jax.batches.lists import Candidates, save_lists
from prod_jax.retrieval import runs

EVIL = '<script>alert("x")</script> & co'
QRELS = {"q1": {"p1": 1}, "q2": {"p2": 1, "p3": 0}, "q3": {"p3": 2}}
RUNS = {
  "evaluate_warm": {
    "q1": ["p2", "p1", "p3"],
    "q2": ["p2", "p1", "p3"],
    "q3": ["p3", "p1", "p2"],
  },
  "evaluate_de": {
    "q1": ["p1", "p2", "p3"],
    "q2": ["p1", "p3", "p2"],
    "q3": ["p3", "p2", "p1"],
  },
}
VALUES = {  # mrr@10, ndcg@10, recall@100
  "evaluate_warm": ("student_warm", 0.25, 0.3, 0.5),
  "evaluate_teacher": ("teacher_de", 0.5, 0.55, 0.9),
  "evaluate_de": ("student_de", 0.4, 0.45, 0.75),
  "evaluate_ce": ("ce_1", 0.65, 0.7, 0.6),
}

BY_QUERY = {  # MRR@10 of q1, q2 and q3
  "evaluate_warm": (0.0, 0.5, 0.25),
  "evaluate_de": (0.45, 0.5, 0.25),
}


def stages() -> list[dict]:
  """The entries of curriculum.json."""
  listed = [
    ("student_warm", "train", {}),
    ("encode_warm", "encode", {"params": "student_warm"}),
    ("evaluate_warm", "evaluate", {"encoded": "encode_warm"}),
    ("teacher_de", "train", {}),
    ("encode_teacher", "encode", {"params": "teacher_de"}),
    ("evaluate_teacher", "evaluate", {"encoded": "encode_teacher"}),
    ("mine_1", "mine", {"encoded": "encode_teacher"}),
    (
      "student_de",
      "train",
      {
        "init": "student_warm",
        "candidates": "mine_1",
        "scores": "encode_teacher",
      },
    ),
    ("encode_de", "encode", {"params": "student_de"}),
    ("evaluate_de", "evaluate", {"encoded": "encode_de"}),
    ("ce_1", "train", {"candidates": "mine_1"}),
    (
      "evaluate_ce",
      "evaluate",
      {"encoded": "encode_teacher", "rerank": "ce_1"},
    ),
    ("score_1", "score", {"params": "ce_1", "candidates": "mine_1"}),
    (
      "student_final",
      "train",
      {"init": "student_de", "candidates": "mine_1", "scores": "score_1"},
    ),
  ]
  taught = {"student_de": "teacher_de", "student_final": "ce_1"}
  models = {"teacher_de": "teacher_de", "ce_1": "ce_1"}
  return [
    {
      "name": name,
      "kind": kind,
      "dir": f"{number:02d}-{name}",
      "status": "pending" if name == "student_final" else "done",
      "seconds": 90.0,
      "model": models.get(name, "student") if kind == "train" else None,
      "taught_by": taught.get(name, "labels") if kind == "train" else None,
      "inputs": inputs,
      "summary": {},
    }
    for number, (name, kind, inputs) in enumerate(listed)
  ]


def config() -> dict:
  """As much of a config as a report looks at."""
  return {
    "seed": 7,
    "data": {"query_length": 24, "passage_length": 64},
    "models": {
      "student": {"kind": "dual", "similarity": "cosine", "scale": 20.0},
      "teacher_de": {"kind": "dual", "similarity": "cosine", "scale": 20.0},
      "ce_1": {"kind": "cross", "similarity": "dot"},
    },
    "stages": {
      "student_de": {
        "method": "prod",
        "steps": 120,
        "batch_size": 32,
        "learning_rate": 3e-4,
      },
      "evaluate_ce": {"rerank_depth": 10},
    },
  }


def results() -> list[dict]:
  """The rows of results.json, an approximate index among them."""
  rows = []
  for stage, (model_stage, *values) in VALUES.items():
    kinds = ("rerank",) if model_stage == "ce_1" else ("exact", "scann")
    for index in kinds:
      names = ("mrr@10", "ndcg@10", "recall@100")
      for metric, value in zip(names, values, strict=True):
        rows.append(
          {
            "stage": stage,
            "model_stage": model_stage,
            "dataset": "tiny",
            "split": "test",
            "metric": metric,
            "value": value - 0.2 * (index == "scann"),
            "queries": 3,
            "index": index,
            "index_recall": 0.97 if index == "scann" else None,
          }
        )
  return rows


def query_text(name: str) -> str:
  return f"{name} {EVIL}"


def passage_text(name: str) -> tuple[str, str]:
  return f"title of {name}", f"text of {name} {EVIL}"


@pytest.fixture
def workdir(tmp_path: pathlib.Path) -> pathlib.Path:
  """The run's folder."""
  folder = tmp_path / "run"
  listed = stages()
  folders = {stage["name"]: folder / stage["dir"] for stage in listed}
  for stage in listed:
    folders[stage["name"]].mkdir(parents=True)
    if stage["kind"] == "train" and stage["status"] == "done":
      log_steps(folders[stage["name"]])
  record = {"config": config(), "dataset": "tiny", "stages": listed}
  (folder / "curriculum.json").write_text(json.dumps(record))
  (folder / "results.json").write_text(json.dumps(results()))
  for name, answers in RUNS.items():
    lines = [
      f"{query} Q0 {passage} {rank} {9.5 - rank} t"
      for query, passages in answers.items()
      for rank, passage in enumerate(passages, 1)
    ]
    (folders[name] / "run.trec").write_text("\n".join(lines) + "\n")
  for name, of in BY_QUERY.items():
    values = dict(zip(("q1", "q2", "q3"), of, strict=True))
    runs.write_values(folders[name], {"mrr@10": values})
  save_lists(lists(), folders["mine_1"] / "candidates")
  np.save(folders["score_1"] / "scores.npy", teacher_scores())
  return folder


@pytest.fixture
def refused(workdir: pathlib.Path) -> pathlib.Path:
  """The same, where `student_de` is refused and the next start before it."""
  path = workdir / "curriculum.json"
  record = json.loads(path.read_text())
  *before, final = record["stages"]
  accept = before[0] | {
    "name": "accept_de",
    "kind": "accept",
    "model": None,
    "inputs": {"encoded": "encode_de", "before": "encode_warm"},
    "summary": {"accepted": "encode_warm", "refused": True},
  }
  final["inputs"] |= {"init": "accept_de"}
  after = final | {"name": "after_final", "inputs": {"init": "student_final"}}
  record["stages"] = [*before, accept, final, after]
  path.write_text(json.dumps(record))
  return workdir


def log_steps(folder: pathlib.Path) -> None:
  """Ten lines, of which a resumed stage wrote step 30 twice."""
  steps = [10, 20, 30, 30, *range(40, 101, 10)]
  lines = [
    json.dumps({"step": step, "loss": 2.0 / (at + 1), "kd": 0.5})
    for at, step in enumerate(steps)
  ]
  (folder / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 1')


def lists() -> Candidates:
  """Two lists of three candidates, the second padded to them."""
  return Candidates(
    query=np.array([0, 1], np.int32),
    ids=np.array([[4, 5, 6], [7, 8, -1]], np.int32),
    label=np.array([[True, False, False], [False, True, False]]),
    rank=np.array([[0, 1, 2], [0, 1, -1]], np.int32),
    score=np.array([[9.0, 8.0, 7.0], [9.0, 8.0, np.nan]], np.float32),
  )


def teacher_scores() -> np.ndarray:
  return np.array([[3.0, 4.0, -1.0], [-2.0, 2.0, np.nan]], np.float32)
