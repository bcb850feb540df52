"""What a run would take of this machine, or of a TPU slice.

  prod_jax plan --config=configs/quickstart.py --workdir=runs/quickstart
  prod_jax plan --config=configs/prod_nq.py --topology=v5e:2x4,v5p:2x2x2

The first measures a few steps of each program here, times how often the run has
them. Data and tokens are made in the working folder, and the forecast stays
there, for status and report to set beside the run. It takes no weights.

The second asks the TPU's own compiler (extra `tpu`) for memory, FLOPs, traffic,
time at the roofline and the largest batch; no TPU, weights or data are needed.
"""

import argparse
import pathlib
import sys

from absl import logging

from prod_jax import strict
from prod_jax.cli import arguments
from prod_jax.config import Config


def build(parser: arguments.Parser) -> None:
  parser.add_config()
  parser.add_argument(
    "--topology",
    metavar="NAMES",
    type=arguments.names,
    default=[],
    help="TPU slices, such as v5e:2x4.",
  )
  parser.add_argument(
    "--workdir",
    metavar="DIR",
    default="",
    help="Working folder of the run; its stages are measured on this machine.",
  )
  parser.add_argument(
    "--settings",
    metavar="FILE",
    default="",
    help="Settings file of launch/, whose price is that of a chip and hour.",
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
    type=arguments.at_least(0),
    default=0,
    help="For how many chips the config's batches are; other slices get more "
    "or fewer queries in proportion. 0 leaves the batches as they are.",
  )
  for name, default, text in _SIZES:
    parser.add_argument(
      f"--{name}",
      metavar="N",
      type=arguments.at_least(0),
      default=0,
      help=f"{text} {default}",
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
# What a measurement has no use for.
_OF_SLICES = ("markdown", "scale_batch", *(name for name, *_ in _SIZES))


def run(args: argparse.Namespace) -> None:
  if args.topology and args.workdir:
    raise strict.ConfigError(
      "--workdir measures this machine, --topology asks the compiler of a TPU "
      "slice; give one of them"
    )
  if not (args.topology or args.workdir):
    raise strict.ConfigError(
      "give --workdir=DIR to measure on this machine, or --topology=v5e:2x4 to "
      "ask the compiler of a TPU slice"
    )
  for name in _OF_SLICES if args.workdir else ():
    if getattr(args, name):
      raise strict.ConfigError(f"--{name} is of --topology")
  config = arguments.config_of(args)
  from prod_jax.plan import bill

  price = bill.price_of(args.settings) if args.settings else 0.0
  if args.workdir:
    _measure(config, args, price)
  else:
    _compile(config, args, price)


def _measure(config: Config, args: argparse.Namespace, price: float) -> None:
  """A few steps of each program, on this machine."""
  import tempfile

  from prod_jax import memory

  with memory.imports():
    import jax

    from prod_jax import compilation, forecast, origin, storage
    from prod_jax.plan import bill, here, shapes
    from prod_jax.processes import Processes
    from prod_jax.stages.run import Run

  folder = storage.open_path(args.workdir)
  with tempfile.TemporaryDirectory() as compiled:
    # Not the user's: what has been compiled before would cost nothing.
    compilation.keep(pathlib.Path(compiled))
    run = Run(shapes.known(config), Processes(folder))
    rows = here.plan(run, args.stage)
  machine = origin.processor(jax.devices())
  if args.json:
    arguments.say_json(rows)
  else:
    sys.stdout.write(bill.text(rows, machine, here.chips(), price))
  forecast.write(folder, strict.plain(config), machine, rows)


def _compile(config: Config, args: argparse.Namespace, price: float) -> None:
  """The programs of slices that are not there, by their compiler."""
  from prod_jax.plan import chips, estimate, shapes, table
  from prod_jax.plan.compiled import Compiler

  for topology in args.topology:
    chips.slice_of(topology)  # before the compiler is looked for
  if bool(args.query_tokens) != bool(args.passage_tokens):
    raise strict.ConfigError("--query_tokens and --passage_tokens go together")
  for name in ("query", "passage"):
    mean = getattr(args, f"{name}_tokens")
    most = getattr(config.data, f"{name}_length")
    if mean > most:
      raise strict.ConfigError(
        f"--{name}_tokens={mean}: no {name} has more than {most}, by "
        f"config.data.{name}_length"
      )
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
    sys.stdout.write(
      table.markdown(rows, asked, size, config.data.packed, args.scale_batch)
    )
  else:
    sys.stdout.write(table.text(rows, price))
  if any(row["steps"] is None for row in rows):
    logging.warning(
      "how many passages and queries %r has is not known here; --passages=N "
      "and --queries=N say it, and give hours",
      config.data.name,
    )


if __name__ == "__main__":
  arguments.start(__name__)
