"""What runs have come to: as Markdown, side by side, or as figures.

  prod_jax report runs/quickstart > docs/RESULTS.md
  prod_jax report runs/quickstart runs/wider

Of several runs the others are held against the first one: a table, and a page
with their curves, scores and queries. What a run has not come to yet is left
out.
"""

import argparse
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from absl import logging

from prod_jax import strict
from prod_jax.cli import arguments

if TYPE_CHECKING:
  from prod_jax.report.comparison import Side


# Of a working folder in a bucket, what no report reads.
_LARGE = ("stale", "tokens", "checkpoints", "blocks", "passages")


def build(parser: arguments.Parser) -> None:
  parser.add_argument(
    "workdirs",
    metavar="WORKDIR…",
    nargs="+",
    help="Working folders of runs, one or more.",
  )
  parser.add_argument(
    "--page",
    metavar="FILE",
    help="Page about several runs; report-NAME….html in the first one's folder "
    "where nothing else is said.",
  )
  parser.add_switch("markdown", "Print Markdown of several runs, too.")
  parser.add_json("figures, and what was compared,")
  parser.add_argument(
    "--figures",
    metavar="DIR",
    help="Folder for the figures of a run's page as SVG, and as PNG with the "
    "extra png; of several runs one each.",
  )


def run(args: argparse.Namespace) -> None:
  from prod_jax import report
  from prod_jax.report import comparison

  workdirs = [*map(_at_hand, args.workdirs)]
  sides = comparison.load(workdirs)
  _check(args, len(sides))
  if args.figures:
    _write_figures(sides, pathlib.Path(args.figures))
  if args.json:
    arguments.say_json(comparison.plain(sides))
  elif args.markdown or not sides[1:]:
    said = report.write_results_markdown(workdirs)
    arguments.say(*said.removesuffix("\n").split("\n"))
  else:
    arguments.say(*comparison.table(sides).split("\n"))
  if sides[1:] and (args.page or not args.markdown):
    _write_page(sides, args)


def _check(args: argparse.Namespace, runs: int) -> None:
  """Raises ConfigError for flags that would be passed over."""
  if args.json and args.markdown:
    raise strict.ConfigError("--json and --markdown are two forms; choose one")
  if args.page and runs == 1:
    raise strict.ConfigError(
      "--page is about several runs; that of one is its report.html, which the "
      "run writes"
    )


def _at_hand(workdir: str) -> pathlib.Path:
  """A working folder on this machine, with what a report reads."""
  from prod_jax import run_files, storage

  path = storage.open_path(workdir)
  run_files.check_folder(path)
  local = storage.twin(path)
  run_files.fetch(path, local, but=_LARGE)
  return local


def _write_figures(sides: Sequence["Side"], folder: pathlib.Path) -> None:
  from prod_jax.report import drawings, figures

  for label, run in sides:
    # A label may be a path.
    to = folder / label.strip("/").replace("/", "-") if sides[1:] else folder
    paths = drawings.write(figures.drawings(run), to)
    logging.info("%d figures are in %s", len(paths), to)


def _write_page(sides: Sequence["Side"], args: argparse.Namespace) -> None:
  from prod_jax import storage
  from prod_jax.report import comparison_page

  others = "-".join(side.run.workdir.name for side in sides[1:])
  path = sides[0].run.workdir / f"report-{others}.html"
  path = pathlib.Path(args.page) if args.page else path
  query_text = _query_text(args.workdirs[0], sides[0].run.split)
  try:
    comparison_page.write(sides, path, query_text)
  except OSError as error:
    if args.page:
      raise
    # A run of somebody else, who lets others read.
    logging.warning(
      "no page was written (%s); --page=FILE names another place",
      storage.trouble(error) or error,
    )
  else:
    logging.info("report: %s", path)


def _query_text(workdir: str, split: str) -> Callable[[str], str]:
  """Looks up the words of a split's query, where the run's set is at hand."""
  texts: dict[str, str] = {}
  from prod_jax.export import task
  from prod_jax.sets.download import NotDownloaded
  from prod_jax.sets.records import DataError

  try:
    dataset = task.open_prepared(workdir)
  except (strict.ConfigError, DataError, NotDownloaded, OSError) as error:
    logging.warning("queries are shown by their ids: %s", error)
  else:
    texts |= {q.id: q.text for q in dataset.queries.get(split, ())}
  return texts.__getitem__


if __name__ == "__main__":
  arguments.start(__name__)
