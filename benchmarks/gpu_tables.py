"""What docs/BENCHMARKS_TABLES.md says of a GPU, from gpu.json.

FLOPs are those that texts need in the matrices of their layers, counted by
hand, padding left out; a training step is three forward passes. Of a search
they are its products.
"""

from collections.abc import Mapping
from typing import Any

from benchmarks import tables
from benchmarks.figures import PACKAGED, flops_a_token, number, percent

Found = Mapping[str, Any]  # gpu.json

# FLOPs a second of products in bfloat16 without sparsity, by the makers' data
# sheets; the first part of a name that is in that of the card.
PEAKS = {
  "B200": 2250e12,
  "H200": 989e12,
  "H100 PCIe": 756e12,
  "H100": 989e12,
  "A100": 312e12,
  "L40S": 362e12,
  "L4": 121e12,
  "A10": 125e12,
  "RTX 4090": 165e12,
}
UNITS = {
  "distil": "queries/s",
  "encode": "passages/s",
  "rerank": "pairs/s",
  "mine": "queries/s",
  "search": "queries/s",
}
NONE = (
  "No GPU was at hand: nothing here has been measured on one. Programs are\n"
  "lowered for CUDA in the tests; `benchmarks/gpu.sh` measures, and its\n"
  "figures come to stand here."
)


def section(found: Found | None) -> str:
  """The section; None is that there is no gpu.json."""
  if found is None:
    return f"## GPU\n\n{NONE}"
  parts = [
    "## GPU",
    _about(found),
    _works(found),
    _agreement(found["parity"]),
    _curriculum(found["curriculum"]),
    _missing(found),
  ]
  return "\n\n".join(part for part in parts if part)


def flops(found: Found, work: str, measured: Mapping[str, Any]) -> float | None:
  """FLOPs a second of a side, counted by hand."""
  if work == "search":
    return measured["rate"] * measured["flops_a_query"]
  if "tokens" not in measured:
    return None
  shape = {name: found["sizes"][name] for name in PACKAGED}
  tokens = measured["tokens"] / measured["seconds"]
  return flops_a_token(work, **shape) * tokens


def peak(found: Found) -> float | None:
  """What the maker says of the card, if it is known."""
  name = found["device"]["name"]
  return next((rate for part, rate in PEAKS.items() if part in name), None)


def _about(found: Found) -> str:
  shape, device = found["sizes"], found["device"]
  lines = [
    ("card", device["name"]),
    ("day and commit", f"{found['day']} at {found['commit']}"),
    ("encoder", "{depth} layers of width {width}, bfloat16".format(**shape)),
    ("minutes of the whole script", number(found["seconds"] / 60, 1)),
    *found["versions"].items(),
  ]
  product = found["works"].get("peak", {}).get("ours", {})
  if "rate" in product:
    rate = number(product["rate"] / 1e12)
    lines.append(("TFLOP/s of one large product, by XLA", rate))
  if (maker := peak(found)) is not None:
    lines.append(("TFLOP/s of the maker", number(maker / 1e12)))
  return tables.markdown("GPU | value", lines)


def _works(found: Found) -> str:
  lines = []
  for work, unit in UNITS.items():
    sides = found["works"].get(work, {})
    ours, peer = (sides.get(side, {}) for side in ("ours", "peer"))
    rates = [side.get("rate") for side in (ours, peer)]
    ratio = rates[0] / rates[1] if all(rates) else None
    shares = [_share(found, work, side) for side in (ours, peer)]
    lines.append(
      (work, *map(number, rates), unit, number(ratio), *map(percent, shares))
    )
  return tables.markdown(
    "work | prod_jax: | sentence-transformers: | unit | ratio: | "
    "MFU, ours: | MFU, peer:",
    lines,
  )


def _share(
  found: Found, work: str, measured: Mapping[str, Any]
) -> float | None:
  """Of the maker's peak; None where one of the two is not known."""
  done = flops(found, work, measured) if "rate" in measured else None
  maker = peak(found)
  return done / maker if done and maker else None


def _agreement(parity: Mapping[str, Any]) -> str:
  lines = [
    (name, *(f"{x:.6f}" for x in (*one["cpu"], *one["gpu"])))
    for name, one in parity.items()
    if "gpu" in one
  ]
  return tables.markdown(
    "golden step | loss, CPU: | gradient norm, CPU: | loss, GPU: | "
    "gradient norm, GPU:",
    lines,
  )


def _curriculum(curriculum: Mapping[str, Any]) -> str:
  lines = [
    (row["stage"], number(row["mrr@10"], 3), number(row["seconds"], 0))
    for row in curriculum.get("stages", [])
  ]
  return tables.markdown("curriculum | MRR@10: | seconds:", lines)


def _missing(found: Found) -> str:
  """What has failed, or had no time left."""
  every = {
    f"{work}, {side}": measured
    for work, sides in found["works"].items()
    for side, measured in sides.items()
  }
  every |= {"parity of " + k: v for k, v in found["parity"].items()}
  every["the curriculum"] = found["curriculum"]
  lines = [
    f"- {name}: {measured['error']}"
    for name, measured in every.items()
    if "error" in measured
  ]
  return "Not measured:\n\n" + "\n".join(lines) if lines else ""
