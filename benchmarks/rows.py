"""What is compared, what is to be reached, and the arithmetic of rounds.

The goals stand here and nowhere else.
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from benchmarks import corpus

# By piece and side, what each round measured.
Runs = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]


class Value(NamedTuple):
  """A number that a side of a piece measures."""

  piece: str
  side: str
  key: str


class Same(NamedTuple):
  """Two sides of a piece whose results must agree.

  Attributes:
    first, second: the sides.
    how: "numbers" that differ little, or "rows" of which few are others.
  """

  first: str
  second: str
  how: Literal["numbers", "rows"]


@dataclasses.dataclass(frozen=True)
class Row:
  """One comparison.

  Attributes:
    name: of the row.
    about: what is compared, for people.
    unit: of both numbers.
    goal: of the ratio, ours to peer.
    better: which ratios are better than the goal.
    ours, peer: the two numbers.
    ours_is, peer_is: what they are of.
    least: a number that has to be so large, or the goal is not reached.
  """

  name: str
  about: str
  unit: str
  goal: float
  better: Literal["higher", "lower"]
  ours: Value
  peer: Value
  ours_is: str = "prod_jax"
  peer_is: str = "sentence-transformers"
  least: tuple[Value, float] | None = None


@dataclasses.dataclass(frozen=True)
class Piece:
  """A module of benchmarks/ and the sides of it that take turns.

  Attributes:
    most_rounds: what takes long is measured less often.
    rehearsed: sides that run once before the first round, so that programs are
      compiled, files in the system's cache and batch sizes known.
    same: sides whose results must agree.
    reads_corpus: whether it searches what corpus.py makes.
  """

  module: str
  sides: tuple[str, ...]
  most_rounds: int = 99
  rehearsed: tuple[str, ...] = ()
  same: tuple[Same, ...] = ()
  reads_corpus: bool = False


PIECES = (
  Piece("peak", ("xla", "xla_bfloat16", "torch"), most_rounds=2),
  Piece("distil", ("ours", "peer"), same=(Same("ours", "peer", "numbers"),)),
  Piece(
    "encode",
    ("ours", "peer"),
    rehearsed=("tune",),
    same=(Same("ours", "peer", "numbers"),),
  ),
  Piece(
    "rerank",
    ("ours", "peer"),
    rehearsed=("tune",),
    same=(Same("ours", "peer", "numbers"),),
  ),
  Piece(
    "mine",
    ("ours", "peer", "ours_stored", "peer_stored"),
    most_rounds=3,
    rehearsed=("tune", "ours", "peer", "ours_stored", "peer_stored"),
    same=(
      Same("ours", "peer", "rows"),
      Same("ours_stored", "peer_stored", "rows"),
    ),
    reads_corpus=True,
  ),
  Piece(
    "search",
    ("exact", "faiss", "scann", "faiss_ivf", "faiss_hnsw"),
    most_rounds=3,
    same=(Same("exact", "faiss", "numbers"),),
    reads_corpus=True,
  ),
  Piece("pipeline", ("ours",), most_rounds=3),
  Piece("start", ("cold", "warm", "imports"), most_rounds=3),
  Piece("scaling", ("step", "encode"), most_rounds=3),
  Piece(
    "export",
    ("ours_float32", "peer_float32", "ours_int8", "peer_int8", "jax"),
    rehearsed=("write",),
    same=(
      Same("ours_float32", "peer_float32", "numbers"),
      Same("jax", "peer_float32", "numbers"),
    ),
  ),
)

ROWS = (
  Row(
    "distil",
    "distillation steps, listwise KL from cached scores",
    "queries/s",
    1.2,
    "higher",
    Value("distil", "ours", "rate"),
    Value("distil", "peer", "rate"),
  ),
  Row(
    "encode",
    "corpus encoding, from strings",
    "passages/s",
    1.2,
    "higher",
    Value("encode", "ours", "rate"),
    Value("encode", "peer", "rate"),
  ),
  Row(
    "rerank",
    "cross-encoder scoring, from strings",
    "pairs/s",
    1.2,
    "higher",
    Value("rerank", "ours", "rate"),
    Value("rerank", "peer", "rate"),
  ),
  Row(
    "mine",
    "hard-negative mining, from texts to lists",
    "queries/s",
    2.0,
    "higher",
    Value("mine", "ours", "rate"),
    Value("mine", "peer", "rate"),
  ),
  Row(
    "mine_memory",
    "its peak memory",
    "MiB",
    0.5,
    "lower",
    Value("mine", "ours", "peak_mib"),
    Value("mine", "peer", "peak_mib"),
  ),
  Row(
    "mine_stored",
    f"mining from stored embeddings, {corpus.PASSAGES:,} passages",
    "queries/s",
    2.0,
    "higher",
    Value("mine", "ours_stored", "rate"),
    Value("mine", "peer_stored", "rate"),
  ),
  Row(
    "mine_stored_memory",
    "its peak memory",
    "MiB",
    0.5,
    "lower",
    Value("mine", "ours_stored", "peak_mib"),
    Value("mine", "peer_stored", "peak_mib"),
  ),
  Row(
    "exact",
    f"exact search, 100 of {corpus.PASSAGES:,}",
    "queries/s",
    1.2,
    "higher",
    Value("search", "exact", "rate"),
    Value("search", "faiss", "rate"),
    peer_is="faiss IndexFlatIP",
  ),
  Row(
    "scann",
    "ScaNN against exact search",
    "queries/s",
    10.0,
    "higher",
    Value("search", "scann", "rate"),
    Value("search", "exact", "rate"),
    ours_is="ScaNN",
    peer_is="exact search",
    least=(Value("search", "scann", "recall"), 0.95),
  ),
  Row(
    "pipeline",
    "input pipeline against what a step eats",
    "tokens/s",
    10.0,
    "higher",
    Value("pipeline", "ours", "rate"),
    Value("distil", "ours", "tokens_a_second"),
    ours_is="pipeline, one core",
    peer_is="the step of distil",
  ),
  Row(
    "start",
    "process start to first step, compilation cache warm against cold",
    "s",
    0.3,
    "lower",
    Value("start", "warm", "seconds"),
    Value("start", "cold", "seconds"),
    ours_is="warm",
    peer_is="cold",
  ),
  *(
    Row(
      f"scale_{side}_{times}",
      f"{times} x the {what}, against a line through the first",
      "s",
      1.1,
      "lower",
      Value("scaling", side, f"seconds_{times}"),
      Value("scaling", side, f"linear_{times}"),
      ours_is="measured",
      peer_is="linear",
    )
    for side, what, sizes in (
      ("step", "batch", (2, 4, 8)),
      ("encode", "corpus", (10, 100)),
    )
    for times in sizes
  ),
  Row(
    "export_float32",
    "a student of two layers as an ONNX graph, from tokens",
    "texts/s",
    1.0,
    "higher",
    Value("export", "ours_float32", "rate"),
    Value("export", "peer_float32", "rate"),
  ),
  Row(
    "export_int8",
    "the same with weights of 8 bits",
    "texts/s",
    1.0,
    "higher",
    Value("export", "ours_int8", "rate"),
    Value("export", "peer_int8", "rate"),
  ),
)


def result(row: Row, runs: Runs) -> dict[str, Any] | None:
  """The row's part of results.json; None where a side was not measured.

  The ratio is the median of those of the rounds, each of two runs that
  followed each other: what slows down a machine for a minute slows down both.
  """
  both = _values(row.ours, runs), _values(row.peer, runs)
  pairs = list(zip(*both, strict=False))
  if not pairs:
    return None
  ratios = [ours / peer for ours, peer in pairs]
  ratio = statistics.median(ratios)
  found = {
    "name": row.name,
    "about": row.about,
    "ours": statistics.median(ours for ours, _ in pairs),
    "peer": statistics.median(peer for _, peer in pairs),
    "ours_is": row.ours_is,
    "peer_is": row.peer_is,
    "unit": row.unit,
    "ratio": ratio,
    "spread": [min(ratios), max(ratios)],
    "goal": row.goal,
    "better": row.better,
    "rounds": len(pairs),
    "runs": pairs,
  }
  sign = 1 if row.better == "higher" else -1
  good = [sign * one >= sign * row.goal for one in ratios]
  found["rounds_reached"] = sum(good)
  reached = sign * ratio >= sign * row.goal
  if row.least:
    value, least = row.least
    found[value.key] = statistics.median(_values(value, runs))
    found["condition"] = f"{value.key} of {least:g} at least"
    reached = reached and found[value.key] >= least
  return {**found, "reached": reached}


def times_goal(found: Mapping[str, Any], ratio: float) -> float:
  """How often a ratio is as good as the goal; above 1 it is reached."""
  good = ratio / found["goal"]
  return good if found["better"] == "higher" else 1 / good


def _values(value: Value, runs: Runs) -> list[float]:
  measured = runs.get(value.piece, {}).get(value.side, ())
  return [run[value.key] for run in measured]
