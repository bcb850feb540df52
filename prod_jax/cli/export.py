"""A trained model as a folder that other software loads.

  prod_jax export --workdir=runs/tiny --stage=student_de --to=runs/student

Writes what a train stage has made, or the student that an accept stage chose,
for sentence-transformers and transformers. The run's config is read from its
working folder.
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
    help="The train stage whose model is written.",
  )
  parser.add_argument(
    "--to",
    metavar="DIR",
    type=arguments.place,
    required=True,
    help="Folder to write; it appears there whole.",
  )
  parser.add_argument(
    "--dtype",
    choices=["float32", "float16", "bfloat16"],
    default="float32",
    help="That the weights are stored in.",
  )
  parser.add_switch(
    "onnx", "Write a graph for onnxruntime, too, and measure it."
  )
  parser.add_switch(
    "int8", "Write that graph with weights of 8 bits beside it."
  )
  parser.add_argument(
    "--most_loss",
    metavar="X",
    type=arguments.share,
    default=0.01,
    help="Of nDCG@10 on held-out queries, that --int8 may cost.",
  )
  parser.add_argument(
    "--push",
    metavar="ORG/NAME",
    default="",
    help="Send the export to a hub, with your own token.",
  )
  parser.add_switch("private", "For your eyes alone there.")
  parser.add_switch("overwrite", "Replace an export that is there.")
  parser.add_json("the folder, and what its graphs were measured at")


def run(args: argparse.Namespace) -> None:
  from prod_jax import memory, storage

  with memory.imports():
    from prod_jax.export import card, finished, hub, whole

  trained = finished.open_stage(storage.open_path(args.workdir), args.stage)
  to = pathlib.Path(args.to)
  options = whole.Options(
    to=to.resolve(),
    where=card.Where(args.push or str(to), is_id=bool(args.push)),
    dtype=args.dtype,
    onnx=args.onnx,
    int8=args.int8,
    most_loss=args.most_loss,
    overwrite=args.overwrite,
  )
  if args.push:
    hub.check(args.push)
  quality = whole.export(trained, options)
  if args.push:
    hub.push(options.to, args.push, private=args.private)
  if args.json:
    said = {"folder": str(to), "stage": trained.name, "hub": args.push or None}
    arguments.say_json({**said, "measured": quality or None})
  else:
    sys.stdout.write(f"{to}\n")


if __name__ == "__main__":
  arguments.start(__name__)
