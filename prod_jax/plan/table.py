"""Rows of a plan for people: as text, and as the Markdown of a document."""

import importlib.metadata
from collections.abc import Callable, Sequence
from typing import Any

from prod_jax import origin
from prod_jax.plan import bill
from prod_jax.plan.chips import CHIPS, GIB, slice_of
from prod_jax.sets.sizes import Size

Row = dict[str, Any]

_UNKNOWN = "unknown"
_NONE = "-"

_HEADER = """\
Nothing ran for this page: each program was compiled by the TPU compiler
({versions})
for a slice that was not there.

- **HBM** is GiB a device: arguments (parameters, optimizer state, batch),
  temporaries, and all of it with outputs and code, which must stay below what
  the compiler says is available. A stage that does not fit was refused by the
  compiler.
- **FLOPs** are XLA's count of the compiled step, on all chips, with elementwise
  work and the random numbers of dropout. The model's own are counted from its
  shape (`prod_jax/plan/analytic.py`): three forward passes of what is trained,
  one of what is frozen, matmuls only. **Matmuls** are the matrix products of
  the compiled step against these. A ratio above 1.02 says that something is
  computed twice: layers under `remat`, or what the compiler drops to make a
  program fit. Less than that are the scores of attention, which its kernel
  computes again in the backward pass.
- **Moved** is what the instructions of the compiled step read from HBM and
  write to it, on one device; arrays that stay in the core's memory do not
  count.
- **Collectives** are the bytes of the arrays that a device reduces or gathers
  in a step.
- **Step** is the roofline: the largest of matmuls at the peak, memory traffic
  at the bandwidth and collectives at the links of the worst placed chip. A real
  step takes longer: softmax and dropout, for one, are no matmuls and no traffic
  within attention's kernel. **MFU** is the model's FLOPs in that time against
  the peak.
- **Hours** are steps times that time: a lower bound. {lengths}
  Retrieval, input, queries of encode stages and checkpoints are left out."""
_LARGEST_SAID = """
- **Largest batch** compiles, and the next larger one was seen not to. For
  forward passes it is a multiple of the configured one."""

_KNOWN = """\
Texts are taken to have
  {query_tokens} (queries) and {passage_tokens} (passages) tokens in the mean, \
spread as a gamma distribution
  of shape 6 is, {rows}."""
_SHARED, _OWN = (
  "in rows that they share as in a run",
  "each in a row of its own",
)
_LONGEST = """Every text is taken to be
  of the greatest length, an upper bound."""


def text(rows: Sequence[Row], price: float = 0.0) -> str:
  """Aligned columns for a terminal, a table a slice.

  Args:
    rows: of `estimate.plan`.
    price: of an hour of a chip, 0 where nobody has said it.
  """
  parts = []
  for name, own in _by_slice(rows).items():
    parts.append(f"{name}: {_headline(name)}")
    parts.append(_aligned(_table(own)))
    parts += [
      f"  {row['stage']}: {row['reason']}" for row in own if row["reason"]
    ]
    parts += ["", f"{_total(own, price)} at the roofline", ""]
  if len(_by_slice(rows)) > 1:
    parts += ["hours (chip-hours) at the roofline", _aligned(_compared(rows))]
  return "\n".join(parts).rstrip() + "\n"


def markdown(
  rows: Sequence[Row],
  config: str,
  size: Size,
  packed: bool,
  scale_from: int = 0,
) -> str:
  """A document, or the section of one where batches are scaled.

  Args:
    rows: of `estimate.plan`.
    config: the file that they are of.
    size: of the data set, as of `estimate.plan`.
    packed: texts share rows.
    scale_from: as of `estimate.plan`.
  """
  if scale_from:
    return _scaled(rows, scale_from)
  made_with = [
    f"{name} {importlib.metadata.version(name)}" for name in ("jax", "libtpu")
  ]
  made_with.append(f"programs of commit {origin.short(origin.commit())}")
  known = size.query_tokens and size.passage_tokens
  lengths = (_KNOWN if known else _LONGEST).format(
    rows=_SHARED if packed else _OWN, **size._asdict()
  )
  header = _HEADER.format(lengths=lengths, versions=", ".join(made_with))
  if _LARGEST in _columns(rows):
    header += _LARGEST_SAID
  parts = [f"# {config} on TPU slices", header]
  if len(_by_slice(rows)) > 1:
    parts += ["## Hours (chip-hours) at the roofline", _piped(_compared(rows))]
  for name, own in _by_slice(rows).items():
    parts += [f"## {name}", f"{_headline(name)}."]
    parts.append(_piped(_table(own)))
    reasons = [f"- {r['stage']}: {r['reason']}" for r in own if r["reason"]]
    if reasons:
      parts.append("\n".join(reasons))
    parts.append(f"At the roofline, {_total(own)}.")
  parts += ["## Chips", _piped(_chips(rows))]
  return "\n\n".join(parts) + "\n"


def _scaled(rows: Sequence[Row], scale_from: int) -> str:
  names = [*_by_slice(rows)]
  head = ["stage", *(f"{n}, MB" for n in names), *(f"{n}, ms" for n in names)]
  table = [head]
  for stage, own in _by_stage(rows).items():
    moved = [_megabytes(own[name]) for name in names]
    times = [_milliseconds(own[name]) for name in names]
    table.append([stage, *moved, *times])
  return (
    "\n\n".join(
      [
        "## As many queries a chip on every slice",
        f"The config's batches are taken to be for {scale_from} chips, and "
        "larger slices get batches in proportion: bytes of collectives a chip "
        "and step, and the roofline of a step.",
        _piped(table),
      ]
    )
    + "\n"
  )


def _headline(name: str) -> str:
  slice_ = slice_of(name)
  chip = slice_.chip
  return (
    f"{slice_.chips} chips of {chip.flops / 1e12:.0f} TFLOP/s and "
    f"{chip.usable / GIB:.2f} GiB, {slice_.interconnect / 1e9:.0f} GB/s "
    "between them"
  )


def _times(row: Row) -> str:
  return f"{row['copies']} x " if row["copies"] > 1 else ""


def _gib(size: int | None) -> str:
  return _NONE if size is None else f"{size / GIB:.2f}"


def _milliseconds(row: Row) -> str:
  time = row["roofline_seconds"]
  return _NONE if time is None else f"{time * 1e3:.1f}"


def _megabytes(row: Row) -> str:
  kinds = row["collective_bytes"]
  return _NONE if kinds is None else f"{sum(kinds.values()) / 1e6:.1f}"


def _collectives(row: Row) -> str:
  kinds = row["collective_bytes"]
  if kinds is None:
    return _NONE
  parts = [f"{kind} {size / 1e6:.1f} MB" for kind, size in kinds.items()]
  return ", ".join(parts) or "none"


def _hours(row: Row, chips: bool = False) -> str:
  if not row["fits"]:
    compiled = row["hbm_bytes"]["peak"] is not None
    return "does not fit" if compiled else "does not divide"
  if row["hours"] is None:
    return _UNKNOWN
  both = f" ({row['chip_hours']:.1f})" if chips else ""
  return f"{row['hours']:.2f}{both}"


def _over(row: Row, kind: str) -> str:
  if row[kind] is None:
    return _NONE
  return f"{row[kind] / row['flops_analytic']:.3f}"


def _number(value: Any, form: str) -> str:
  return _NONE if value is None else format(value, form)


_LARGEST = "largest batch"
_COLUMNS: dict[str, Callable[[Row], str]] = {
  "stage": lambda r: r["stage"],
  "batch": lambda r: f"{_times(r)}{r['batch']} {r['unit']}",
  "fits": lambda r: "yes" if r["fits"] else "no",
  "HBM arguments": lambda r: _gib(r["hbm_bytes"]["arguments"]),
  "temporaries": lambda r: _gib(r["hbm_bytes"]["temporaries"]),
  "all": lambda r: _gib(r["hbm_bytes"]["peak"]),
  "TFLOPs": lambda r: _number(r["flops"] and r["flops"] / 1e12, ".2f"),
  "of the model's": lambda r: _over(r, "flops"),
  "matmuls": lambda r: _over(r, "flops_matmul"),
  "moved, GB": lambda r: _number(
    r["bytes_moved"] and r["bytes_moved"] / 1e9, ".2f"
  ),
  "collectives": _collectives,
  "step, ms": _milliseconds,
  "limit": lambda r: r["limit"] or _NONE,
  "MFU": lambda r: _number(r["mfu"], ".0%"),
  "steps": lambda r: _number(r["steps"], ",") if r["steps"] else _UNKNOWN,
  "hours": _hours,
  "chip-hours": lambda r: _number(r["chip_hours"], ".1f"),
  _LARGEST: lambda r: _number(r.get("largest_batch"), ","),
}


def _columns(rows: Sequence[Row]) -> list[str]:
  """Those of a table; the largest batch only where one was looked for."""
  looked = any(row.get("largest_batch") for row in rows)
  return [name for name in _COLUMNS if looked or name != _LARGEST]


def _table(rows: Sequence[Row]) -> list[list[str]]:
  columns = _columns(rows)
  return [columns, *([_COLUMNS[name](row) for name in columns] for row in rows)]


def _compared(rows: Sequence[Row]) -> list[list[str]]:
  """Hours of each stage on each slice, and of all that are known."""
  slices = _by_slice(rows)
  table = [["stage", *slices]]
  for stage, own in _by_stage(rows).items():
    table.append([stage, *(_hours(own[name], chips=True) for name in slices)])
  totals = []
  for of_slice in slices.values():
    if all(row["hours"] is not None for row in of_slice):
      hours = sum(row["hours"] for row in of_slice)
      totals.append(f"{hours:.2f} ({hours * of_slice[0]['chips']:.1f})")
    else:
      totals.append(_NONE)
  return [*table, ["all", *totals]]


def _total(own: Sequence[Row], price: float = 0.0) -> str:
  return bill.total([row["hours"] for row in own], own[0]["chips"], price)


def _chips(rows: Sequence[Row]) -> list[list[str]]:
  used = {row["topology"].partition(":")[0] for row in rows}
  head = ["chip", "bf16 TFLOP/s", "HBM GiB", "usable", "HBM GB/s"]
  table = [[*head, "link GB/s each way", "source"]]
  for name, chip in CHIPS.items():
    if name in used:
      table.append(
        [
          name,
          f"{chip.flops / 1e12:.0f}",
          f"{chip.hbm / GIB:.0f}",
          f"{chip.usable / GIB:.2f}",
          f"{chip.bandwidth / 1e9:.0f}",
          f"{chip.link / 1e9:.0f}",
          chip.source,
        ]
      )
  return table


def _by_slice(rows: Sequence[Row]) -> dict[str, list[Row]]:
  found: dict[str, list[Row]] = {}
  for row in rows:
    found.setdefault(row["topology"], []).append(row)
  return found


def _by_stage(rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
  found: dict[str, dict[str, Row]] = {}
  for row in rows:
    found.setdefault(row["stage"], {})[row["topology"]] = row
  return found


def _aligned(table: Sequence[Sequence[str]]) -> str:
  widths = [max(map(len, column)) for column in zip(*table, strict=True)]
  return "\n".join(
    "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
    for line in table
  )


def _piped(table: Sequence[Sequence[str]]) -> str:
  head, *body = (f"| {' | '.join(line)} |" for line in table)
  return "\n".join([head, "|" + "---|" * len(table[0]), *body])
