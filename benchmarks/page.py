"""python -m benchmarks.page: docs/BENCHMARKS.md and its plot, of results.json.

Every number on the page is read from the results: of the processor that was
measured last, in full, and of others the tables. What is said of each piece is
paragraphs.py.
"""

import json
import pathlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks import paragraphs, plot, rows, run
from benchmarks.figures import Measured, number

DOCS = pathlib.Path(__file__).parents[1] / "docs"
PAGE, PICTURE = "BENCHMARKS.md", "benchmarks.svg"


def page(
  found: Mapping[str, Any], others: Sequence[Mapping[str, Any]] = ()
) -> str:
  """The whole page, as Markdown.

  Args:
    found: results.json.
    others: what other processors measured.
  """
  parts = [
    "# Benchmarks",
    _HOW.format(
      machine=_machine(found), **found["machine"], data=found["data"]
    ),
    f"![each ratio against its goal]({PICTURE})",
    _table(found["rows"]),
    _missed(found["rows"]),
    _others(found["runs"]),
    _when(found["measured"]),
    "## Where the time goes",
    *_paragraphs(found),
    "## Versions",
    _versions(found),
    *(part for other in others for part in _other(other)),
  ]
  return "\n\n".join(part for part in parts if part) + "\n"


_HOW = """Written by `python -m benchmarks.page` from `benchmarks/results.json`,
which `make bench` measures; `python -m benchmarks.run --only=encode --rounds=2`
measures a part.

{machine}. Each side is a process of its own, bound to {threads} cores with
{threads} threads; in each round the sides run one after the other, in every
second one in the other order, and the ratio is the median of those of the
rounds. Both sides read one safetensors folder (all-MiniLM-L6-v2, 6 layers of
width 384) in float32, and the texts of {data}, cut at 144 tokens with their
natural lengths; both have memory in large pages (`GLIBC_TUNABLES`).
sentence-transformers runs on torch, its default; its ONNX and OpenVINO backends
were not measured. Search, and mining from stored embeddings, read vectors of
two of these layers, of a quarter of a million texts of the installed packages
(`benchmarks/corpus.py`). Encoding, scoring and mining have run once before the
clock does, so that our programs are compiled and the peer's batch size is
known. In each round loss and gradient, embeddings, logits, mined passages and
exact scores are held against the other side's."""


def _machine(found: Mapping[str, Any]) -> str:
  about = "{processor}, {cores} cores, {memory_gib} GiB, {system}"
  return about.format(**found["machine"])


def _versions(found: Mapping[str, Any]) -> str:
  return ", ".join(f"{k} {v}" for k, v in found["versions"].items()) + "."


def _other(found: Mapping[str, Any]) -> Iterator[str]:
  """The part of another processor, which may be of older code."""
  yield f"## {found['machine']['processor']}, measured before"
  yield f"{_machine(found)}. {_missed(found['rows'])}"
  yield _when(found.get("measured", {}))
  yield _table(found["rows"])
  yield _versions(found)


def _table(found: Sequence[Mapping[str, Any]]) -> str:
  lines = [
    "| row | what | ours | peer | unit | ratio | from … to | goal | rounds |",
    "|---|---|---:|---:|---|---:|---:|---:|---|",
  ]
  for row in found:
    sign = "≥" if row["better"] == "higher" else "≤"
    lines.append(
      f"| {row['name']} | {row['about']}; {row['ours_is']} against "
      f"{row['peer_is']} | {number(row['ours'])} | {number(row['peer'])} | "
      f"{row['unit']} | **{number(row['ratio'])}** | "
      f"{' … '.join(map(number, row['spread']))} | {sign} {row['goal']:g} | "
      f"{'reached' if row['reached'] else 'not reached'}, "
      f"{row['rounds_reached']} of {row['rounds']} |"
    )
  return "\n".join(lines)


def _missed(found: Sequence[Mapping[str, Any]]) -> str:
  missed = [row["name"] for row in found if not row["reached"]]
  if not missed:
    return "All goals of these rows are reached." if found else ""
  return f"Not reached: {', '.join(missed)}."


def _others(runs: rows.Runs) -> str:
  """Whether the machine had other work."""
  others = [
    measured["others"]
    for sides in runs.values()
    for found in sides.values()
    for measured in found
  ]
  if not others:
    return ""
  return (
    f"While this was measured, {statistics.median(others):.2f} cores were busy "
    "with other work, or taken by the host of a virtual machine, in the "
    f"median, {max(others):.2f} at most."
  )


def _when(measured: Mapping[str, Mapping[str, str]]) -> str:
  """The days and the commits."""
  by_time: dict[str, list[str]] = {}
  for piece, about in measured.items():
    when = f"{about['day']} at commit {about['commit']}"
    by_time.setdefault(when, []).append(piece)
  if len(by_time) < 2:
    return "".join(f"Measured on {when}." for when in by_time)
  parts = (f"{', '.join(names)} on {when}" for when, names in by_time.items())
  return f"Measured: {'; '.join(parts)}."


def _paragraphs(found: Mapping[str, Any]) -> list[str]:
  m = Measured(found["runs"])
  by_name = {row["name"]: row for row in found["rows"]}
  return [
    f"**{piece}.** {write(m, by_name, found['same'])}"
    for piece, write in paragraphs.WRITERS.items()
    if m.has(piece)
  ]


def main() -> None:
  """Writes the page and the plot."""
  found = json.loads(run.RESULTS.read_text())
  kept = sorted(run.RESULTS.parent.glob(f"{run.RESULTS.stem}-*.json"))
  others = [json.loads(path.read_text()) for path in kept]
  (DOCS / PAGE).write_text(page(found, others))
  (DOCS / PICTURE).write_text(plot.picture(found["rows"]) + "\n")


if __name__ == "__main__":
  main()
