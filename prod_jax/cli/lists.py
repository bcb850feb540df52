"""Lists and scores of a stage, for another trainer.

  prod_jax lists --workdir=runs/tiny --stage=mine_1 --to=runs/lists.jsonl

Takes a mine, provided, imported, denoise, filter or score stage; a score stage
brings the lists that it has scored. What FILE ends with says the form:

  .jsonl         a line a query: query, pos, neg, their ids, and pos_scores and
                 neg_scores where there are scores
  .parquet       a row a pair: query_id, passage_id, score, rank, label
  .trec, .run    a TREC run
"""

import argparse
import pathlib
import sys

from prod_jax.cli import arguments


def build(parser: arguments.Parser) -> None:
  parser.add_workdir()
  parser.add_argument(
    "--stage",
    metavar="NAME",
    required=True,
    help="The stage whose lists these are.",
  )
  parser.add_argument(
    "--to",
    metavar="FILE",
    type=arguments.place,
    required=True,
    help="File to write, .jsonl, .parquet, .trec or .run.",
  )
  parser.add_switch("overwrite", "Replace a file that is there.")
  parser.add_json("the file and its number of rows")


def run(args: argparse.Namespace) -> None:
  from prod_jax import memory, storage

  with memory.imports():
    from prod_jax.export import finished, lists

  opened = finished.open_run(storage.open_path(args.workdir))
  to = pathlib.Path(args.to)
  count = lists.export(opened, args.stage, to, overwrite=args.overwrite)
  if args.json:
    arguments.say_json({"file": str(to), "rows": count})
  else:
    sys.stdout.write(f"{to}\t{count}\n")


if __name__ == "__main__":
  arguments.start(__name__)
