"""Negatives that a user has: a file beside a set's own files.

  negatives.SPLIT.tsv    query id, passage id, and whatever else

for any set that is read from a folder, plain or with `.gz` at the end. Where
the set has negatives of its own, the file is taken in their place. In a folder
of the user's that has none for split train, MS MARCO's triples are taken. What
was judged and has no grade above 0 is found in the set's file of judgements.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence

from prod_jax import config
from prod_jax.sets import files, formats, lines
from prod_jax.sets.datasets import published
from prod_jax.sets.lines import OnError, Source
from prod_jax.sets.negatives import Found, PairFile
from prod_jax.sets.records import DataError


def name_of(split: str) -> str:
  """The name of the file."""
  return f"negatives.{split}.tsv"


def with_negatives(
  source: published.Source, data: config.Data, splits: Sequence[str]
) -> published.Source:
  """The set with the negatives that lie in its folder, and the judged ones.

  Args:
    source: of the set.
    data: says where its folder is; one that was downloaded has none.
    splits: that there may be.
  """
  found: dict[str, Callable[[], Found]] = {}
  for split in splits if data.path else ():
    file = _file(data, split)
    if file is not None:
      found[split] = functools.partial(_negatives, file, data.on_error)
  judged = {
    split: functools.partial(_judged, file, data.on_error)
    for split, file in source.labels.items()
  }
  return dataclasses.replace(
    source, negatives={**source.negatives, **found}, judged=judged
  )


def fingerprint(data: config.Data, split: str) -> str:
  """Changes with the user's file; "" where there is none."""
  file = _file(data, split) if data.path else None
  return "" if file is None else published.fingerprint([file], "")


def _file(data: config.Data, split: str) -> Source | None:
  """Negatives in a folder; a published set's triples are its builder's."""
  names = [name_of(split)]
  if data.name == "folder" and split == "train":
    names.append(formats.TRIPLES)
  places = (files.locate(pathlib.Path(data.path), name) for name in names)
  return next((file for file in places if file is not None), None)


def _negatives(file: Source, on_error: OnError) -> Found:
  if lines.on_disk(file).name.startswith(formats.TRIPLES):
    pairs = PairFile(file, width=3, query=0, passage=2, on_error=on_error)
  else:
    pairs = PairFile(file, 2, query=0, passage=1, more=True, on_error=on_error)
  return Found(published.fingerprint([file], on_error), pairs.pairs)


def _judged(file: Source, on_error: OnError) -> Found:
  numbered = lines.read_lines(file, lines.Faults(file, "skip"))
  if formats.usual((len(of.split()) for _, of in numbered), (2, 3, 4)) == 2:
    raise DataError(
      f"{file}: has no grades, and grade_0=True takes what is graded 0; leave "
      "grade_0 out, or write lines of query id, 0, passage id, grade"
    )
  # Three columns with a header, or TREC's four: the last two are the same.
  pairs = PairFile(file, width=3, more=True, query=0, passage=-2, grade=-1)
  pairs = dataclasses.replace(pairs, on_error=on_error)
  return Found(published.fingerprint([file], f"{on_error} judged"), pairs.pairs)
