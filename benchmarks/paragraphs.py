"""What docs/BENCHMARKS.md says of each piece: where time and memory went.

What the sentences say of numbers is decided by comparing them.
"""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks import corpus, search
from benchmarks.figures import (
  WIDTH,
  Measured,
  gflops,
  number,
  of_peak,
  operators,
  percent,
  verdict,
)

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
  ours, peer = (gflops(m, "distil", s, 3) for s in ("ours", "peer"))
  waits = [m.of("distil", s, "profile", "input") for s in ("ours", "peer")]
  peers = {
    k: m.of("distil", "peer", "profile", k) for k in ("forward", "backward")
  }
  memory = [m.of("distil", s, "peak_mib") for s in ("ours", "peer")]
  return (
    f"{verdict(by_name, 'distil')} Matrices of texts, padding not counted, "
    f"run at {ours:.0f} GFLOP/s here and {peer:.0f} there"
    f"{of_peak(m, ours, peer)}. {operators(m, 'distil')} "
    f"{percent(m.of('distil', 'ours', 'padding'))} of our rows are padding, "
    f"{percent(m.of('distil', 'peer', 'padding'))} of the peer's. A step "
    f"waits for input {percent(waits[0])} of its time here, where tokens are "
    f"made before, and {percent(waits[1])} there, where the collator "
    "tokenises. A forward pass over the passages alone takes "
    f"{percent(m.of('distil', 'ours', 'forward_share'))} of our step; the "
    f"peer's forward {percent(peers['forward'])}, its backward "
    f"{percent(peers['backward'])}. Peak memory {memory[0]:,.0f} MiB against "
    f"{memory[1]:,.0f}. The first step, with its compilation or the reading of "
    "it from the cache, takes "
    f"{m.of('distil', 'ours', 'first_step_seconds'):.1f} s and is not counted. "
    f"Loss and norm of the gradient of the first lists differ by "
    f"{same['distil']['ours']:.0e}."
  )


def _inference(piece: str, unit: str) -> Writer:
  def write(m: Measured, by_name: Mapping, same: Mapping) -> str:
    ours, peer = (gflops(m, piece, s, 1) for s in ("ours", "peer"))
    rates = m.first(piece, "peer", "rates")
    tried = ", ".join(f"{size}: {rate:.0f}" for size, rate in rates.items())
    return (
      f"{verdict(by_name, piece)} Matrices of texts run at {ours:.0f} GFLOP/s "
      f"here and {peer:.0f} there{of_peak(m, ours, peer)}. "
      f"{operators(m, piece)} "
      f"{percent(m.of(piece, 'ours', 'padding'))} of our rows are padding, "
      f"{percent(m.of(piece, 'peer', 'padding'))} of the peer's. Tokenising "
      f"takes {percent(m.of(piece, 'ours', 'profile', 'tokenise'))} of the "
      f"time here and {percent(m.of(piece, 'peer', 'profile', 'tokenise'))} "
      f"there. The peer runs with the fastest of its batch sizes ({unit}: "
      f"{tried}). Peak memory {m.of(piece, 'ours', 'peak_mib'):,.0f} MiB "
      f"against {m.of(piece, 'peer', 'peak_mib'):,.0f}. Results differ by "
      f"{same[piece]['ours']:.0e}."
    )

  return write


def _mine(m: Measured, by_name: Mapping, same: Mapping) -> str:
  lines = [
    verdict(by_name, "mine"),
    "Embedding takes "
    f"{percent(m.of('mine', 'ours', 'profile', 'tokenise and encode'))} of "
    "our time and "
    f"{percent(m.of('mine', 'peer', 'profile', 'tokenise and encode'))} of "
    f"the peer's.{_beside(m, by_name)}",
    f"{percent(1 - same['mine']['ours'])} of the mined passages are the same.",
    verdict(by_name, "mine_memory"),
    _memory(m, "ours", "peer"),
    f"Our weights are {m.of('mine', 'ours', 'weights_mib'):.0f} MiB.",
    f"Mining from stored embeddings, for {corpus.QUERIES:,} queries: "
    + verdict(by_name, "mine_stored"),
    _products_alone(m),
    f"{percent(1 - same['mine']['ours_stored'])} of the mined passages are the "
    "same.",
    verdict(by_name, "mine_stored_memory"),
    _memory(m, "ours_stored", "peer_stored"),
    f"The vectors, {corpus.PASSAGES * WIDTH / 2**18:.0f} MiB, are memory of "
    "the peer; here they are mapped a part at a time, and what the system "
    "keeps of their files is not counted.",
  ]
  return " ".join(lines)


def _beside(m: Measured, by_name: Mapping[str, Any]) -> str:
  if "encode" not in by_name or not m.has("peak"):
    return ""
  ratio, goal = by_name["encode"]["ratio"], by_name["mine"]["goal"]
  wanted = goal * gflops(m, "encode", "peer", 1)
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
  rate = m.of("peak", _peak_side(dtype), "rate") * 1e9 / flops
  return (
    f"The inner products alone, in {dtype} at the rate of peak, would be "
    f"{rate:,.0f} queries/s; mining chooses the best, reads shards and writes "
    "lists besides."
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
  dtype = m.first("search", "exact", "multiplied_in")
  return (
    f"{verdict(by_name, 'exact')} {search.QUERIES:,} queries are searched for "
    f"at once. Inner products run at {ours:.0f} GFLOP/s here, in {dtype}, and "
    f"{peer:.0f} in faiss{of_peak(m, ours, peer, _peak_side(dtype))}, choosing "
    "the best included; products are "
    f"{percent(m.of('search', 'exact', 'operators', 'products'))} of the time "
    "of our operators on the device. "
    f"{verdict(by_name, 'scann')} Its recall of the exact hundred is "
    f"{m.of('search', 'scann', 'recall'):.3f} (index: {kind}); building it "
    f"takes {m.of('search', 'scann', 'built_seconds'):.1f} s, which "
    f"{_pays_after(m)}. Scores of exact search and faiss differ "
    f"by {same['search']['exact']:.0e}."
  )


def _peak_side(dtype: str) -> str:
  return "xla" if dtype == "float32" else f"xla_{dtype}"


def _pays_after(m: Measured) -> str:
  """Of building ScaNN's index."""
  slow, fast = (1 / m.of("search", s, "rate") for s in ("exact", "scann"))
  if fast >= slow:
    return "never pays"
  queries = m.of("search", "scann", "built_seconds") / (slow - fast)
  return f"pays after {queries:,.0f} queries"


def _pipeline(m: Measured, by_name: Mapping, same: Mapping) -> str:
  rate = m.of("pipeline", "ours", "rate")
  there = "pipeline" in by_name  # the step of distil was measured too
  return (
    f"{verdict(by_name, 'pipeline') if there else f'{rate:,.0f} tokens/s.'} "
    "The pipeline reads tokens from memory-mapped stores and lays them in "
    "rows; the tokenizer, which fills the stores once, makes "
    f"{m.of('pipeline', 'ours', 'tokenised_a_second'):,.0f} tokens a "
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
    "What is cut from a warm start is cut from a cold one: with the "
    f"{cold - warm:.1f} s that the cache saves, the goal is reached by a warm "
    f"start of {(cold - warm) * goal / (1 - goal):.1f} s."
  )
  return f"{verdict(by_name, 'start')} {' '.join(lines)}"


def _scaling(m: Measured, by_name: Mapping, same: Mapping) -> str:
  lines = []
  for name, unit in (("step", "queries"), ("encode", "passages")):
    found = [x for k, x in by_name.items() if k.startswith(f"scale_{name}_")]
    worst = max(found, key=lambda row: row["ratio"])
    lines.append(
      f"The worst of {name}: {verdict(by_name, worst['name'])} Milliseconds "
      f"for one of so many {unit}: {_each(m, name, 'sizes')}."
    )
  lines.append(
    "Of a query in training the kernel takes, clearing pages above all, so "
    f"many milliseconds of a core: {_each(m, 'step', 'kernel')}."
  )
  return " ".join(lines)


def _each(m: Measured, side: str, key: str) -> str:
  """Milliseconds for one of so many."""
  return ", ".join(
    f"{size}: {1e3 * m.of('scaling', side, key, size) / int(size):.1f}"
    for size in m.first("scaling", side, key)
  )


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
