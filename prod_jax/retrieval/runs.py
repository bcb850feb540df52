"""Runs as files: query id, Q0, passage id, rank, score, tag; one line each.

The format that trec_eval reads. Measuring a run is metrics.py.
"""

import json
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from prod_jax import json_files, storage
from prod_jax.sets import lines
from prod_jax.sets.records import DataError

BY_QUERY = "by_query.json"


def write_run(
  path: pathlib.Path,
  qids: Sequence[str],
  ids_QK: Int[np.ndarray, "Q K"],
  scores_QK: Float[np.ndarray, "Q K"],
  *,
  tag: str,
  name_of: Callable[[int], str],
) -> None:
  """Writes a run, complete or not at all.

  Args:
    path: of the file; one that is there is replaced.
    qids: names of the queries.
    ids_QK: rows of the collection in ranked order, -1 on padding.
    scores_QK: written with nine digits, which give the same float32 back.
    tag: names the run.
    name_of: row of the collection to passage id; asked once a row.

  Raises:
    DataError: a name has white space in it, or a score is not a number.
  """
  is_row_QK = ids_QK >= 0
  broken = np.flatnonzero((np.isnan(scores_QK) & is_row_QK).any(axis=1))
  if len(broken):
    raise DataError(
      f"{path}: query {qids[broken[0]]} has scores that are not a number; the "
      "parameters or embeddings that they come from are broken"
    )
  rows = np.unique(ids_QK[is_row_QK]).tolist()
  names = {row: name_of(row) for row in rows}
  for word in (tag, *qids, *names.values()):
    if word.split() != [word]:
      raise DataError(
        f"{path}: {word!r} is empty or has white space in it; a run file is "
        "divided by white space, so rename it"
      )
  with (
    storage.whole_file(path) as part,
    open(part, "w", encoding="utf-8", newline="\n") as file,
  ):
    for qid, ids, scores, is_row in zip(
      qids, ids_QK, scores_QK, is_row_QK, strict=True
    ):
      ranked = zip(ids[is_row].tolist(), scores[is_row].tolist(), strict=True)
      file.writelines(
        f"{qid} Q0 {names[row]} {rank} {score:.9g} {tag}\n"
        for rank, (row, score) in enumerate(ranked, 1)
      )


def write_values(
  folder: pathlib.Path, values: Mapping[str, Mapping[str, float]]
) -> None:
  """Writes figures of a run beside it: metric to query id to value."""
  storage.write_text(folder / BY_QUERY, json.dumps(values))


def read_values(folder: pathlib.Path) -> dict[str, dict[str, float]]:
  """What `write_values` wrote, {} where it did not."""
  path = folder / BY_QUERY
  if not path.exists():
    return {}
  shape = {str: {str: float}}
  found = json_files.read(path, shape, "run its stage again", DataError)
  return {
    metric: {query: float(value) for query, value in by_query.items()}
    for metric, by_query in found.items()
  }


def read_run(path: pathlib.Path) -> dict[str, dict[str, float]]:
  """Reads a run, of any tool: {query id: {passage id: score}}.

  Ranks and the order of lines are not kept: scores alone decide.

  Raises:
    DataError: a line is at fault.
  """
  run: dict[str, dict[str, float]] = {}
  for where, line in _lines(path):
    columns = line.split()
    if len(columns) != 6:
      raise DataError(
        f"{where}: {len(columns)} columns, expected query id, Q0, passage id, "
        "rank, score, tag"
      )
    query, _, passage, _, score, _ = columns
    scores = run.setdefault(query, {})
    if passage in scores:
      raise DataError(
        f"{where}: {query} {passage} occurs again; keep one of the lines"
      )
    scores[passage] = _number(score, where)
  return run


def _number(text: str, where: str) -> float:
  try:
    value = float(text)
  except ValueError:
    value = math.nan
  if math.isnan(value):
    raise DataError(f"{where}: score {text!r} is not a number; correct it")
  return value


def _lines(path: pathlib.Path) -> Iterator[tuple[str, str]]:
  """Yields ("file:line", line), without empty lines."""
  for number, line in lines.read_lines(path, lines.Faults(path, None)):
    if line.strip():
      yield f"{path}:{number}", line
