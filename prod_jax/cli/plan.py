"""What a run would take of a TPU slice; no TPU is needed.

  prod_jax plan --config=configs/prod_nq.py --topology=v5e:2x4,v5p:2x2x2

Memory, FLOPs, traffic, time at the roofline and the largest batch of each
stage, as the TPU's own compiler says it (extra `tpu`). It takes neither weights
nor data.
"""

import argparse
import pathlib
import sys

from prod_jax import strict
from prod_jax.cli import arguments


def build(parser: arguments.Parser) -> None:
  parser.add_config()
  parser.add_argument(
    "--topology",
    metavar="NAMES",
    type=arguments.names,
    required=True,
    help="TPU slices, such as v5e:2x4.",
  )
  parser.add_argument(
    "--stage",
    metavar="NAMES",
    type=arguments.names,
    default=[],
    help="Plan these stages only.",
  )
  parser.add_json("a row a stage")
  parser.add_switch("markdown", "Print a document in Markdown.")
  parser.add_switch(
    "largest", "Do not search the largest batch that fits.", default=True
  )
  parser.add_argument(
    "--scale_batch",
    metavar="CHIPS",
    type=int,
    default=0,
    help="For how many chips the config's batches are; other slices get more "
    "or fewer queries in proportion. 0 leaves the batches as they are.",
  )
  for name, default, text in _SIZES:
    parser.add_argument(
      f"--{name}", metavar="N", type=int, default=0, help=f"{text} {default}"
    )
  parser.add_argument(
    "--cache_dir",
    metavar="DIR",
    default="~/.cache/prod_jax/plan",
    help="Folder for what the compiler said of each program, which is then not "
    "compiled again.",
  )


_PUBLISHED = "0 takes what is published."
_LONGEST = "0 takes all to be as long as may be."
_SIZES = (
  ("passages", _PUBLISHED, "How many passages the data set has;"),
  ("queries", _PUBLISHED, "How many queries each split has;"),
  ("query_tokens", _LONGEST, "Tokens of a query in the mean;"),
  ("passage_tokens", _LONGEST, "Tokens of a passage in the mean;"),
)


def run(args: argparse.Namespace) -> None:
  config = arguments.config_of(args)
  from prod_jax.plan import estimate, shapes, table
  from prod_jax.plan.compiled import Compiler

  if bool(args.query_tokens) != bool(args.passage_tokens):
    raise strict.ConfigError("--query_tokens and --passage_tokens go together")
  size = shapes.size_of(
    config.data,
    args.passages,
    args.queries,
    args.query_tokens,
    args.passage_tokens,
  )
  rows = estimate.plan(
    config,
    args.topology,
    Compiler(pathlib.Path(args.cache_dir).expanduser()),
    size,
    stages=args.stage,
    scale_from=args.scale_batch,
    find_largest=args.largest,
  )
  if args.json:
    arguments.say_json(rows)
  elif args.markdown:
    asked = " ".join([args.config, *args.overrides])
    sys.stdout.write(table.markdown(rows, asked, size, args.scale_batch))
  else:
    sys.stdout.write(table.text(rows))


if __name__ == "__main__":
  arguments.start(__name__)
