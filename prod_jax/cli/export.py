"""python -m prod_jax.cli.export --workdir=DIR --stage=NAME --to=DIR

Writes what a train stage has made as a folder that sentence-transformers and
transformers load. The run's config is read from its working folder.
"""

import pathlib
import sys

from absl import flags

from prod_jax import storage
from prod_jax.cli import arguments
from prod_jax.export import finished, hub, whole
from prod_jax.models import hf

_WORKDIR = arguments.workdir_flag()
_STAGE = flags.DEFINE_string(
  "stage", None, "The train stage whose model is written.", required=True
)
_TO = flags.DEFINE_string(
  "to", None, "Folder to write; it appears there whole.", required=True
)
_DTYPE = flags.DEFINE_enum(
  "dtype", "float32", list(hf.DTYPES), "That the weights are stored in."
)
_ONNX = flags.DEFINE_bool(
  "onnx", False, "Write a graph for onnxruntime, too, and measure it."
)
_INT8 = flags.DEFINE_bool(
  "int8", False, "Write that graph with weights of 8 bits beside it."
)
_MOST_LOSS = flags.DEFINE_float(
  "most_loss", 0.01, "Of nDCG@10 on held-out queries, that --int8 may cost."
)
_PUSH = flags.DEFINE_string(
  "push", "", "Send the export to a hub as ORG/NAME, with your own token."
)
_PRIVATE = flags.DEFINE_bool("private", False, "For your eyes alone there.")
_OVERWRITE = flags.DEFINE_bool(
  "overwrite", False, "Replace an export that is there."
)


def main() -> None:
  trained = finished.open_stage(storage.open_path(_WORKDIR.value), _STAGE.value)
  to = pathlib.Path(_TO.value)
  options = whole.Options(
    to=to.resolve(),
    name=_PUSH.value or str(to),
    dtype=_DTYPE.value,
    onnx=_ONNX.value,
    int8=_INT8.value,
    most_loss=_MOST_LOSS.value,
    overwrite=_OVERWRITE.value,
  )
  if _PUSH.value:
    hub.check(_PUSH.value)
  whole.export(trained, options)
  if _PUSH.value:
    hub.push(options.to, _PUSH.value, private=_PRIVATE.value)
  sys.stdout.write(f"{to}\n")


if __name__ == "__main__":
  arguments.start_alone(main)
