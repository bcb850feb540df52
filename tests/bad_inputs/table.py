"""All bad inputs, by room."""

from collections.abc import Iterator, Sequence

from tests.bad_inputs import (
  bare,
  beir,
  configs,
  judgements,
  layouts,
  lines,
  models,
  modules,
  outputs,
  published,
  runs,
  scores,
  tokenizers,
  workdirs,
)
from tests.bad_inputs.row import Row

ROOMS: dict[str, Sequence[Row]] = {
  "configs": configs.ROWS,
  "command lines": lines.ROWS,
  "folders as of MS MARCO": layouts.ROWS,
  "qrels": judgements.ROWS,
  "folders as of BEIR": beir.ROWS,
  "MS MARCO and NQ": published.ROWS,
  "queries without labels, negatives": bare.ROWS,
  "tokenizers": tokenizers.ROWS,
  "weights": models.ROWS,
  "models around weights": modules.ROWS,
  "scores and lists": scores.ROWS,
  "runs": runs.ROWS,
  "working folders": workdirs.ROWS,
  "what is made of a run": outputs.ROWS,
}


def rows(rooms: Sequence[str] = tuple(ROOMS)) -> Iterator[tuple[str, Row]]:
  """The rows of some rooms, each with its room."""
  for room in rooms:
    for row in ROOMS[room]:
      yield room, row
