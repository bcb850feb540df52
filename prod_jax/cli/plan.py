"""python -m prod_jax.cli.plan --config=FILE --topology=v5e:2x4[,v5p:2x2x2]

What each stage takes of a TPU slice: memory, FLOPs, traffic, time at the
roofline, the largest batch. No TPU is needed, and neither weights nor data.
"""

import json
import pathlib
import sys

from absl import app, flags, logging

from prod_jax import config_file, strict
from prod_jax.plan import estimate, shapes, table
from prod_jax.plan.compiled import Compiler

_CONFIG = flags.DEFINE_string("config", None, "As of prod_jax.main.")
_TOPOLOGY = flags.DEFINE_list("topology", None, "Slices, such as v5e:2x4.")
_STAGE = flags.DEFINE_list("stage", [], "Plan these stages only.")
_JSON = flags.DEFINE_bool("json", False, "Print a list, a row a stage.")
_MARKDOWN = flags.DEFINE_bool("markdown", False, "Print a document.")
_LARGEST = flags.DEFINE_bool("largest", True, "Search the largest batch.")
_SCALE = flags.DEFINE_integer(
  "scale_batch", 0, "The config's batches are for so many chips; scale them."
)
_PASSAGES = flags.DEFINE_integer("passages", 0, "How many there are.")
_QUERIES = flags.DEFINE_integer("queries", 0, "The same, of each split.")
_QUERY_TOKENS = flags.DEFINE_integer(
  "query_tokens",
  0,
  "Of a query in the mean; 0: all are as long as may be.",
)
_PASSAGE_TOKENS = flags.DEFINE_integer("passage_tokens", 0, "The same.")
_CACHE = flags.DEFINE_string(
  "cache_dir", "~/.cache/prod_jax/plan", "What was compiled before."
)


def main(argv: list[str]) -> None:
  if argv[1:]:
    raise app.UsageError(f"unknown: {argv[1:]}")
  try:
    run = config_file.load(_CONFIG.value)
    if bool(_QUERY_TOKENS.value) != bool(_PASSAGE_TOKENS.value):
      raise app.UsageError("--query_tokens and --passage_tokens go together")
    size = shapes.size_of(
      run.data,
      _PASSAGES.value,
      _QUERIES.value,
      _QUERY_TOKENS.value,
      _PASSAGE_TOKENS.value,
    )
    rows = estimate.plan(
      run,
      _TOPOLOGY.value,
      Compiler(pathlib.Path(_CACHE.value).expanduser()),
      size,
      stages=_STAGE.value,
      scale_from=_SCALE.value,
      find_largest=_LARGEST.value,
    )
  except strict.ConfigError as error:
    logging.error("%s", error)
    sys.exit(2)
  if _JSON.value:
    print(json.dumps(rows, indent=1))
  elif _MARKDOWN.value:
    print(table.markdown(rows, _CONFIG.value, size, _SCALE.value), end="")
  else:
    print(table.text(rows), end="")


if __name__ == "__main__":
  logging.set_verbosity(logging.INFO)
  flags.mark_flags_as_required(["config", "topology"])
  app.run(main)
