"""What docs/BENCHMARKS.md says of each piece: where time and memory went.

What the sentences say of numbers is decided by comparing them.
"""

import statistics
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks import rows

# All matrices of the packaged encoder's layers: FLOPs a token forward.
FLOPS_A_TOKEN = 6 * 24 * 384**2


class Measured:
  """Medians of what was measured, by piece, side and key."""

  def __init__(self, runs: rows.Runs):
    self._runs = runs

  def has(self, piece: str) -> bool:
    """Whether this piece was measured."""
    return piece in self._runs

  def of(self, piece: str, side: str, *keys: str) -> float:
    """The median over the rounds."""
    found = []
    for measured in self._runs[piece][side]:
      for key in keys:
        measured = measured[key]
      found.append(measured)
    return statistics.median(found)

  def first(self, piece: str, side: str, key: str) -> Any:
    """What the first round says."""
    return self._runs[piece][side][0][key]


Writer = Callable[[Measured, Mapping[str, Any], Mapping[str, Any]], str]


def _peak(m: Measured, by_name: Mapping, same: Mapping) -> str:
  xla, torch = m.of("peak", "xla", "rate"), m.of("peak", "torch", "rate")
  return (
    f"A product of 2048 x 2048 matrices in float32, the limit that the others "
    f"are held against: {xla:.0f} GFLOP/s by XLA, {torch:.0f} by torch. Of "
    "matrices in bfloat16, added up in float32: "
    f"{m.of('peak', 'xla_bfloat16', 'rate'):.0f} by XLA."
  )


def _distil(m: Measured, by_name: Mapping, same: Mapping) -> str:
  ours, peer = (_gflops(m, "distil", s, 3) for s in ("ours", "peer"))
  waits = [m.of("distil", s, "profile", "input") for s in ("ours", "peer")]
  peers = {
    k: m.of("distil", "peer", "profile", k) for k in ("forward", "backward")
  }
  memory = [m.of("distil", s, "peak_mib") for s in ("ours", "peer")]
  return (
    f"{_verdict(by_name, 'distil')} Matrices of texts, padding not counted, "
    f"run at {ours:.0f} GFLOP/s here and {peer:.0f} there"
    f"{_of_peak(m, ours, peer)}. {_operators(m, 'distil')} "
    f"{_percent(m.of('distil', 'ours', 'padding'))} of our rows are padding, "
    f"{_percent(m.of('distil', 'peer', 'padding'))} of the peer's. A step "
    f"waits for input {_percent(waits[0])} of its time here, where tokens are "
    f"made before, and {_percent(waits[1])} there, where the collator "
    "tokenises. A forward pass over the passages alone takes "
    f"{_percent(m.of('distil', 'ours', 'forward_share'))} of our step; the "
    f"peer's forward {_percent(peers['forward'])}, its backward "
    f"{_percent(peers['backward'])}. Peak memory {memory[0]:,.0f} MiB against "
    f"{memory[1]:,.0f}. The first step, with its compilation or the reading of "
    "it from the cache, takes "
    f"{m.of('distil', 'ours', 'first_step_seconds'):.1f} s and is not counted. "
    f"Loss and norm of the gradient of the first lists differ by "
    f"{same['distil']['apart']:.0e}."
  )


def _inference(piece: str, unit: str) -> Writer:
  def write(m: Measured, by_name: Mapping, same: Mapping) -> str:
    ours, peer = (_gflops(m, piece, s, 1) for s in ("ours", "peer"))
    rates = m.first(piece, "peer", "rates")
    tried = ", ".join(f"{size}: {rate:.0f}" for size, rate in rates.items())
    return (
      f"{_verdict(by_name, piece)} Matrices of texts run at {ours:.0f} GFLOP/s "
      f"here and {peer:.0f} there{_of_peak(m, ours, peer)}. "
      f"{_operators(m, piece)} "
      f"{_percent(m.of(piece, 'ours', 'padding'))} of our rows are padding, "
      f"{_percent(m.of(piece, 'peer', 'padding'))} of the peer's. Tokenising "
      f"takes {_percent(m.of(piece, 'ours', 'profile', 'tokenise'))} of the "
      f"time here and {_percent(m.of(piece, 'peer', 'profile', 'tokenise'))} "
      f"there. The peer runs with the fastest of its batch sizes ({unit}: "
      f"{tried}). Peak memory {m.of(piece, 'ours', 'peak_mib'):,.0f} MiB "
      f"against {m.of(piece, 'peer', 'peak_mib'):,.0f}. Results differ by "
      f"{same[piece]['apart']:.0e}."
    )

  return write


def _mine(m: Measured, by_name: Mapping, same: Mapping) -> str:
  lines = [
    _verdict(by_name, "mine"),
    "Embedding takes "
    f"{_percent(m.of('mine', 'ours', 'profile', 'tokenise and encode'))} of "
    "our time and "
    f"{_percent(m.of('mine', 'peer', 'profile', 'tokenise and encode'))} of "
    f"the peer's.{_beside(m, by_name)}",
    _verdict(by_name, "mine_memory"),
    _memory(m, "ours", "peer"),
    f"Our weights are {m.of('mine', 'ours', 'weights_mib'):.0f} MiB.",
    "Mining from stored embeddings: " + _verdict(by_name, "mine_stored"),
    _products_alone(m),
    _verdict(by_name, "mine_stored_memory"),
    _memory(m, "ours_stored", "peer_stored"),
    f"{_percent(same['mine']['share'])} of the mined passages are the same.",
  ]
  return " ".join(lines)


def _beside(m: Measured, by_name: Mapping[str, Any]) -> str:
  if "encode" not in by_name or not m.has("peak"):
    return ""
  ratio, goal = by_name["encode"]["ratio"], by_name["mine"]["goal"]
  wanted = goal * _gflops(m, "encode", "peer", 1)
  return (
    f" Encoding with all programs compiled: {number(ratio)} x. {goal:g} x the "
    f"peer's encoding would be {wanted:.0f} GFLOP/s in matrices of texts; one "
    f"large product makes {m.of('peak', 'xla', 'rate'):.0f}."
  )


def _products_alone(m: Measured) -> str:
  if not m.has("peak") or not m.has("search"):
    return ""
  flops = m.of("search", "exact", "flops_a_query")
  dtype = m.first("search", "exact", "multiplied_in")
  peak = "xla" if dtype == "float32" else f"xla_{dtype}"
  rate = m.of("peak", peak, "rate") * 1e9 / flops
  return (
    f"The inner products alone, in {dtype} at the rate of peak, would be "
    f"{rate:,.0f} queries/s, and exact search of vectors in memory, which "
    f"chooses the best too, makes {m.of('search', 'exact', 'rate'):,.0f}. "
    "Mining reads shards and writes lists besides."
  )


def _memory(m: Measured, ours: str, peer: str) -> str:
  base = [m.of("mine", s, "base_mib") for s in (ours, peer)]
  peak = [m.of("mine", s, "peak_mib") for s in (ours, peer)]
  return (
    f"Of {peak[0]:,.0f} MiB here, interpreter and imports are {base[0]:,.0f}; "
    f"of {peak[1]:,.0f} there, {base[1]:,.0f}. Without these the ratio is "
    f"{(peak[0] - base[0]) / (peak[1] - base[1]):.2f}."
  )


def _search(m: Measured, by_name: Mapping, same: Mapping) -> str:
  flops = m.of("search", "exact", "flops_a_query") / 1e9
  ours, peer = (m.of("search", s, "rate") * flops for s in ("exact", "faiss"))
  kind = m.first("search", "scann", "kind")
  return (
    f"{_verdict(by_name, 'exact')} Inner products run at {ours:.0f} GFLOP/s "
    f"here, in {m.first('search', 'exact', 'multiplied_in')}, and {peer:.0f} "
    "in faiss, choosing the best included; products are "
    f"{_percent(m.of('search', 'exact', 'operators', 'products'))} of the time "
    "of our operators on the device. "
    f"{_verdict(by_name, 'scann')} Its recall of the exact hundred is "
    f"{m.of('search', 'scann', 'recall'):.3f} (index: {kind}); building it "
    f"takes {m.of('search', 'scann', 'built_seconds'):.1f} s, which pays after "
    f"{_pays_after(m):,.0f} queries. Scores of exact search and faiss differ "
    f"by {same['search']['apart']:.0e}."
  )


def _pays_after(m: Measured) -> float:
  slow, fast = (1 / m.of("search", s, "rate") for s in ("exact", "scann"))
  return m.of("search", "scann", "built_seconds") / max(slow - fast, 1e-9)


def _pipeline(m: Measured, by_name: Mapping, same: Mapping) -> str:
  return (
    f"{_verdict(by_name, 'pipeline')} It reads tokens from memory-mapped "
    "stores and lays them in rows; the tokenizer, which fills the stores once, "
    f"makes {m.of('pipeline', 'ours', 'tokenised_a_second'):,.0f} tokens a "
    "second of a core."
  )


def _start(m: Measured, by_name: Mapping, same: Mapping) -> str:
  imports = m.of("start", "imports", "seconds")
  lines = []
  for name in ("cold", "warm"):
    whole = m.of("start", name, "seconds")
    parts = {
      k: m.of("start", name, "profile", k) * whole
      for k in ("trace", "lower", "compile")
    }
    rest = whole - imports - sum(parts.values())
    lines.append(
      f"{name.capitalize()}: {whole:.1f} s, of these {imports:.1f} importing, "
      f"{parts['trace']:.1f} tracing, {parts['lower']:.1f} lowering, "
      f"{parts['compile']:.1f} compiling or reading the cache, {rest:.1f} "
      "opening data, reading weights and the step itself."
    )
  cold, warm = (m.of("start", name, "seconds") for name in ("cold", "warm"))
  goal = by_name["start"]["goal"]
  lines.append(
    f"With the {cold - warm:.1f} s that the cache saves, the goal is a warm "
    f"start of {(cold - warm) * goal / (1 - goal):.1f} s."
  )
  return f"{_verdict(by_name, 'start')} {' '.join(lines)}"


def _scaling(m: Measured, by_name: Mapping, same: Mapping) -> str:
  lines = []
  for name, unit in (("step", "queries"), ("encode", "passages")):
    sizes = m.first("scaling", name, "sizes")
    each = ", ".join(
      f"{size}: {1e3 * m.of('scaling', name, 'sizes', size) / int(size):.1f}"
      for size in sizes
    )
    lines.append(
      f"{_verdict(by_name, f'scale_{name}')} Milliseconds for one of so many "
      f"{unit}: {each}."
    )
  return " ".join(lines)


WRITERS: dict[str, Writer] = {
  "peak": _peak,
  "distil": _distil,
  "encode": _inference("encode", "passages a second"),
  "rerank": _inference("rerank", "pairs a second"),
  "mine": _mine,
  "search": _search,
  "pipeline": _pipeline,
  "start": _start,
  "scaling": _scaling,
}


def _gflops(m: Measured, piece: str, side: str, passes: int) -> float:
  """GFLOP/s in the matrices of texts; a training step is three passes."""
  tokens = m.of(piece, side, "tokens") / m.of(piece, side, "seconds")
  return passes * FLOPS_A_TOKEN * tokens / 1e9


def _operators(m: Measured, piece: str) -> str:
  """What profilers say of both sides."""
  products, others = [], []
  for side in ("ours", "peer"):
    products.append(_percent(m.of(piece, side, "operators", "products")))
    largest = m.first(piece, side, "operators")
    others.append(
      f"`{largest['largest']}` with {_percent(largest['largest_share'])}"
    )
  return (
    "By the profilers, products of matrices, with what is fused to them (here "
    "as there softmax in attention), are "
    f"{products[0]} of the time of operators here and {products[1]} there; of "
    f"the others {others[0]} and {others[1]} take most."
  )


def _of_peak(m: Measured, ours: float, peer: float) -> str:
  """What share these GFLOP/s are of a large product's."""
  if not m.has("peak"):
    return ""
  xla, torch = (m.of("peak", name, "rate") for name in ("xla", "torch"))
  return (
    f" ({_percent(ours / xla)} of XLA's peak, {_percent(peer / torch)} of "
    "torch's)"
  )


def _verdict(by_name: Mapping[str, Any], name: str) -> str:
  """What the row says, in a sentence."""
  if name not in by_name:
    return "What it is held against was not measured."
  row = by_name[name]
  reached = "reached" if row["reached"] else "not reached"
  sign = "at least" if row["better"] == "higher" else "at most"
  return (
    f"{number(row['ours'])} {row['unit']} ({row['ours_is']}) against "
    f"{number(row['peer'])} ({row['peer_is']}), {number(row['ratio'])} x; "
    f"the goal, {sign} {row['goal']:g} x, is {reached}."
  )


def number(value: float) -> str:
  """Two decimals, or none where they would say nothing."""
  return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _percent(share: float) -> str:
  return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"
