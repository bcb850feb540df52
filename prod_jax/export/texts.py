"""Texts to embed, from a file, one a line: TSV or JSON objects.

TSV is as a collection has it: id TAB text, or id TAB title TAB text. JSON lines
have `_id`, `text` and perhaps `title`. Either may be gzipped.
"""

import pathlib
from collections.abc import Iterator

from prod_jax.sets import formats
from prod_jax.sets.datasets import beir
from prod_jax.sets.lines import Faults, read_lines
from prod_jax.sets.records import DataError, Passage

_JSON = (".jsonl", ".jsonl.gz")


def read(path: pathlib.Path, faults: Faults) -> Iterator[Passage]:
  """Streams the texts of a file.

  Raises:
    DataError: it cannot be read, or a line is at fault and may not be.
  """
  is_json = path.name.endswith(_JSON)
  width = 0 if is_json else formats.passage_width(path)
  if not is_json and not width:
    raise DataError(f"{path}: expected lines of id TAB text")
  for number, line in read_lines(path, faults):
    found = (
      beir.parse_passage(number, line, faults)
      if is_json
      else formats.parse_passage(number, line, faults, width=width)
    )
    if found is not None:
      yield found
