"""python -m prod_jax.cli.plan --config=FILE --topology=v5e:2x4[,v5p:2x2x2]

What each stage takes of a TPU slice: memory, FLOPs, traffic, time at the
roofline, the largest batch. No TPU is needed, and neither weights nor data.
"""

import json
import pathlib
import sys

from absl import flags

from prod_jax import strict
from prod_jax.cli import arguments
from prod_jax.config import Config
from prod_jax.plan import estimate, shapes, table
from prod_jax.plan.compiled import Compiler

_CONFIG = arguments.config_flag()
_TOPOLOGY = flags.DEFINE_list(
  "topology", None, "TPU slices, such as v5e:2x4.", required=True
)
_STAGE = flags.DEFINE_list("stage", [], "Plan these stages only.")
_JSON = flags.DEFINE_bool("json", False, "Print a list as JSON, a row a stage.")
_MARKDOWN = flags.DEFINE_bool(
  "markdown", False, "Print a document in Markdown."
)
_LARGEST = flags.DEFINE_bool(
  "largest", True, "Search the largest batch that fits."
)
_SCALE = flags.DEFINE_integer(
  "scale_batch",
  0,
  "For how many chips the config's batches are; other slices get more or fewer "
  "queries in proportion. 0 leaves the batches as they are.",
)
_PASSAGES = flags.DEFINE_integer(
  "passages",
  0,
  "How many passages the data set has; 0 takes the published number.",
)
_QUERIES = flags.DEFINE_integer(
  "queries",
  0,
  "How many queries each split has; 0 takes the published numbers.",
)
_QUERY_TOKENS = flags.DEFINE_integer(
  "query_tokens",
  0,
  "Tokens of a query in the mean; 0 takes all queries to be as long as may be.",
)
_PASSAGE_TOKENS = flags.DEFINE_integer(
  "passage_tokens",
  0,
  "Tokens of a passage in the mean; 0 takes all passages to be as long as may "
  "be.",
)
_CACHE = flags.DEFINE_string(
  "cache_dir",
  "~/.cache/prod_jax/plan",
  "Folder for what the compiler said of each program, which is then not "
  "compiled again.",
)


def main(config: Config) -> None:
  if bool(_QUERY_TOKENS.value) != bool(_PASSAGE_TOKENS.value):
    raise strict.ConfigError("--query_tokens and --passage_tokens go together")
  size = shapes.size_of(
    config.data,
    _PASSAGES.value,
    _QUERIES.value,
    _QUERY_TOKENS.value,
    _PASSAGE_TOKENS.value,
  )
  rows = estimate.plan(
    config,
    _TOPOLOGY.value,
    Compiler(pathlib.Path(_CACHE.value).expanduser()),
    size,
    stages=_STAGE.value,
    scale_from=_SCALE.value,
    find_largest=_LARGEST.value,
  )
  if _JSON.value:
    print(json.dumps(rows, indent=1))
  elif _MARKDOWN.value:
    asked = " ".join([_CONFIG.value, *arguments.overrides(sys.argv)])
    print(table.markdown(rows, asked, size, _SCALE.value), end="")
  else:
    print(table.text(rows), end="")


if __name__ == "__main__":
  arguments.start(main)
