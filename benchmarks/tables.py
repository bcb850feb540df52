"""The tables of docs/BENCHMARKS_TABLES.md, each as Markdown.

A table has the lines of what was measured, and is "" where nothing was.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks import rows
from benchmarks.figures import Measured, number, percent

Results = Mapping[str, Any]  # results.json
Line = Sequence[str]


def markdown(head: str, lines: Sequence[Line]) -> str:
  """A table.

  Args:
    head: the names of the columns, "row | ratio:"; a colon is for numbers.
    lines: the cells below them.
  """
  if not lines:
    return ""
  names = head.split(" | ")
  rule = ["---:" if name.endswith(":") else "---" for name in names]
  names = [name.removesuffix(":") for name in names]
  return "\n".join(f"| {' | '.join(line)} |" for line in (names, rule, *lines))


def machines(found: Sequence[Results]) -> str:
  """What was measured on, with what and when; a column a processor."""
  about = [
    {
      "cores": str(one["machine"]["cores"]),
      "threads of a side": str(one["machine"]["threads"]),
      "memory, GiB": str(one["machine"]["memory_gib"]),
      "system": one["machine"]["system"],
      "texts": one["data"],
      "day and commit": _when(one.get("measured", {})),
      "cores busy with other work, median and most": _other_work(one["runs"]),
      **one["versions"],
    }
    for one in found
  ]
  names = dict.fromkeys(name for one in about for name in one)
  return markdown(
    " | ".join(["processor", *(one["machine"]["processor"] for one in found)]),
    [(name, *(one.get(name, "") for one in about)) for name in names],
  )


def ratios(found: Sequence[Mapping[str, Any]]) -> str:
  """All rows against their goals."""
  lines = []
  for row in found:
    goal = f"{'≥' if row['better'] == 'higher' else '≤'} {row['goal']:g}"
    beside = f", {row['condition']}" if "condition" in row else ""
    lines.append(
      (
        row["name"],
        f"{row['about']}; {row['ours_is']} against {row['peer_is']}",
        number(row["ours"]),
        number(row["peer"]),
        row["unit"],
        f"**{number(row['ratio'])}**",
        " … ".join(map(number, row["spread"])),
        goal + beside,
        f"{'reached' if row['reached'] else 'not reached'}, "
        f"{row['rounds_reached']} of {row['rounds']}",
      )
    )
  return markdown(
    "row | what | ours: | peer: | unit | ratio: | from … to: | goal | rounds",
    lines,
  )


def peaks(m: Measured) -> str:
  """What one large product of matrices reaches."""
  names = {
    "xla": "XLA, float32",
    "xla_bfloat16": "XLA, bfloat16 added up in float32",
    "torch": "torch, float32",
  }
  return markdown(
    "2048 x 2048 matrices | GFLOP/s:",
    [(names[s], number(m.of("peak", s, "rate"))) for s in m.sides("peak")],
  )


def products(m: Measured) -> str:
  """How fast the products of each side are, and what else takes time."""
  lines = []
  for piece, ours, peer in (
    ("distil", "ours", "peer"),
    ("encode", "ours", "peer"),
    ("rerank", "ours", "peer"),
    ("search", "exact", "faiss"),
  ):
    if m.sides(piece):
      lines.append(_product(m, piece, ours, "xla"))
      lines.append(_product(m, piece, peer, "torch"))
  return markdown(
    "piece | side | numbers | GFLOP/s: | of the peak: | products: | "
    "largest other operator | its share: | padding:",
    lines,
  )


def _product(m: Measured, piece: str, side: str, library: str) -> Line:
  dtype = m.first(piece, side, "multiplied_in") or "float32"
  best = library if dtype == "float32" else f"{library}_{dtype}"
  rate, peak = m.gflops(piece, side), m.of("peak", best, "rate")
  other = m.first(piece, side, "operators")
  return (
    piece,
    side,
    dtype,
    number(rate),
    percent(rate / peak) if peak else "",
    percent(m.of(piece, side, "operators", "products")),
    f"`{other['largest']}`" if other else "",
    percent(other["largest_share"]) if other else "",
    percent(m.of(piece, side, "padding")),
  )


def sides(m: Measured) -> str:
  """Time and memory of every side that was watched."""
  lines = []
  for piece in ("distil", "encode", "rerank", "mine", "start"):
    for side in m.sides(piece):
      parts = {
        name: m.of(piece, side, "profile", name)
        for name in m.first(piece, side, "profile") or ()
        if name != "rest"
      }
      base = m.of(piece, side, "base_mib")
      lines.append(
        (
          piece,
          side,
          number(m.of(piece, side, "seconds")),
          ", ".join(f"{name} {percent(part)}" for name, part in parts.items()),
          # Without a base the work is another process than the measured one.
          number(m.of(piece, side, "peak_mib")) if base else "",
          number(base),
        )
      )
  return markdown(
    "piece | side | seconds: | parts of them | peak MiB: | imports, MiB:",
    lines,
  )


def batch_sizes(m: Measured) -> str:
  """Texts or pairs a second of the peer with each batch size."""
  rates = {p: m.first(p, "peer", "rates") for p in ("encode", "rerank")}
  rates = {piece: found for piece, found in rates.items() if found}
  sizes = dict.fromkeys(size for found in rates.values() for size in found)
  return markdown(
    " | ".join(["piece", *(f"{size}:" for size in sizes)]),
    [
      (piece, *(number(found.get(size)) for size in sizes))
      for piece, found in rates.items()
    ],
  )


def indices(m: Measured) -> str:
  """How fast each index answers, and how well."""
  return markdown(
    "index | queries/s: | built in s: | recall:",
    [
      (
        m.first("search", side, "kind") or side,
        number(m.of("search", side, "rate")),
        number(m.of("search", side, "built_seconds")),
        number(m.of("search", side, "recall"), 3),
      )
      for side in m.sides("search")
    ],
  )


def sizes(m: Measured) -> str:
  """What one query or passage costs among so many."""
  return markdown(
    "of | how many: | seconds: | ms for one: | ms of a core in the kernel:",
    [
      (
        "queries of a step" if side == "step" else "passages encoded",
        size,
        number(m.of("scaling", side, "sizes", size)),
        _each(m, side, "sizes", size),
        _each(m, side, "kernel", size),
      )
      for side in m.sides("scaling")
      for size in m.first("scaling", side, "sizes")
    ],
  )


def exports(m: Measured) -> str:
  """How fast each form of an exported student is, how large, and how near."""
  return markdown(
    "form | texts/s: | MB: | furthest from torch:",
    [
      (
        side,
        number(m.of("export", side, "rate")),
        f"{m.of('export', side, 'bytes') / 1e6:.1f}",
        f"{m.of('export', side, 'difference'):.0e}",
      )
      for side in m.sides("export")
    ],
  )


def further(m: Measured) -> str:
  """What is measured beside, of our side."""
  found = (
    (
      "distil",
      "seconds of the first step, with its compilation; not counted",
      number(m.of("distil", "ours", "first_step_seconds")),
    ),
    (
      "distil",
      "a forward pass over the passages, of a step",
      percent(m.of("distil", "ours", "forward_share")),
    ),
    ("mine", "MiB of weights", number(m.of("mine", "ours", "weights_mib"))),
    (
      "pipeline",
      "tokens a second of a core, by the tokenizer",
      number(m.of("pipeline", "ours", "tokenised_a_second")),
    ),
  )
  return markdown("piece | what | ours:", [line for line in found if line[-1]])


def apart(same: Mapping[str, Mapping[str, float]]) -> str:
  """How far results of two sides are apart."""
  lines = []
  for piece in rows.PIECES:
    for pair in piece.same:
      far = same.get(piece.module, {}).get(pair.first)
      if far is not None:
        between = f"{pair.first}, {pair.second}"
        said = f"{far:.0e}" if far else "0"
        lines.append((piece.module, between, pair.how, said))
  return markdown("piece | sides | of | apart:", lines)


# Below the ratios, with their headings.
DETAILS: dict[str, Callable[[Measured], str]] = {
  "Peak": peaks,
  "Products of matrices": products,
  "Time and memory": sides,
  "The peer's batch sizes": batch_sizes,
  "Search": indices,
  "Scaling": sizes,
  "Exported students": exports,
  "Further figures": further,
}


def _each(m: Measured, side: str, key: str, size: str) -> str:
  """Milliseconds for one of so many."""
  seconds = m.of("scaling", side, key, size)
  return "" if seconds is None else f"{1e3 * seconds / int(size):.1f}"


def _other_work(runs: rows.Runs) -> str:
  """Cores that were busy with other work, or taken by a machine's host."""
  found = [
    measured["others"]
    for by_side in runs.values()
    for rounds in by_side.values()
    for measured in rounds
  ]
  if not found:
    return ""
  return f"{statistics.median(found):.2f}, {max(found):.2f}"


def _when(measured: Mapping[str, Mapping[str, str]]) -> str:
  """By day and commit, the pieces."""
  by_time: dict[str, list[str]] = {}
  for piece, about in measured.items():
    when = f"{about['day']} at {about['commit']}"
    by_time.setdefault(when, []).append(piece)
  parts = (f"{when}: {', '.join(names)}" for when, names in by_time.items())
  return "; ".join(parts)
