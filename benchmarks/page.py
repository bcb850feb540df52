"""python -m benchmarks.page: docs/BENCHMARKS_TABLES.md and docs/benchmarks.svg.

Tables of all results that are kept, those of the processor that was measured
last first, and those of a GPU, if there was one. What they say is written by
hand, in docs/BENCHMARKS.md.
"""

import json
import pathlib
from collections.abc import Iterator, Sequence

from benchmarks import gpu_tables, plot, run, tables
from benchmarks.figures import Measured

GPU = pathlib.Path(__file__).with_name("gpu.json")
DOCS = pathlib.Path(__file__).parents[1] / "docs"
PAGE, PICTURE = "BENCHMARKS_TABLES.md", "benchmarks.svg"
_HEAD = """# Tables of the benchmarks

Written by `python -m benchmarks.page` from `benchmarks/results*.json` and
`benchmarks/gpu.json`; [BENCHMARKS.md](BENCHMARKS.md) says what is compared and
how to read them."""


def page(
  found: Sequence[tables.Results], gpu: gpu_tables.Found | None = None
) -> str:
  """The whole page, as Markdown; the plot is of the first results."""
  picture = f"![each ratio against its goal]({PICTURE})"
  parts = [_HEAD, tables.machines(found), picture]
  for one in found:
    parts += [
      f"## {one['machine']['processor']}",
      tables.ratios(one["rows"]),
      *_details(one),
    ]
  parts.append(gpu_tables.section(gpu))
  return "\n\n".join(part for part in parts if part) + "\n"


def _details(found: tables.Results) -> Iterator[str]:
  measured = Measured(found["runs"])
  made = {title: table(measured) for title, table in tables.DETAILS.items()}
  made["Agreement of the two sides"] = tables.apart(found["same"])
  for title, table in made.items():
    if table:
      yield f"### {title}"
      yield table


def results() -> list[tables.Results]:
  """All that are kept, those of the last processor first."""
  kept = sorted(run.RESULTS.parent.glob(f"{run.RESULTS.stem}-*.json"))
  return [json.loads(path.read_text()) for path in (run.RESULTS, *kept)]


def on_gpu() -> gpu_tables.Found | None:
  """What gpu.sh has left; None where it was not run."""
  return json.loads(GPU.read_text()) if GPU.exists() else None


def files() -> dict[pathlib.Path, str]:
  """What is written, and where."""
  found = results()
  return {
    DOCS / PAGE: page(found, on_gpu()),
    DOCS / PICTURE: plot.picture(found[0]["rows"]) + "\n",
  }


def main() -> None:
  """Writes the page and the plot."""
  for path, text in files().items():
    path.write_text(text)


if __name__ == "__main__":
  main()
