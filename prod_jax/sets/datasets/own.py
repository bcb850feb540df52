"""Negatives that a user has: a file beside a set's own files.

  negatives.SPLIT.tsv    query id, passage id, and whatever else

for any set that is read from a folder, plain or with `.gz` at the end. Where
the set has negatives of its own, the file is taken in their place. What was
judged and has no grade above 0 is found in the set's file of judgements.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence

from prod_jax import config
from prod_jax.sets import files
from prod_jax.sets.datasets import published
from prod_jax.sets.lines import OnError, Source
from prod_jax.sets.negatives import Found, PairFile


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
    file = files.locate(pathlib.Path(data.path), name_of(split))
    if file is not None:
      found[split] = functools.partial(_negatives, file, data.on_error)
  judged = {
    split: functools.partial(_judged, file, data.on_error)
    for split, file in source.labels.items()
  }
  return dataclasses.replace(
    source, negatives={**source.negatives, **found}, judged=judged
  )


def fingerprint(path: str, split: str) -> str:
  """Changes with the user's file; "" where there is none."""
  file = files.locate(pathlib.Path(path), name_of(split)) if path else None
  return "" if file is None else published.fingerprint([file], "")


def _negatives(file: Source, on_error: OnError) -> Found:
  pairs = PairFile(file, width=2, more=True, query=0, passage=1)
  pairs = dataclasses.replace(pairs, on_error=on_error)
  return Found(published.fingerprint([file], on_error), pairs.pairs)


def _judged(file: Source, on_error: OnError) -> Found:
  # Three columns with a header, or TREC's four: the last two are the same.
  pairs = PairFile(file, width=3, more=True, query=0, passage=-2, grade=-1)
  pairs = dataclasses.replace(pairs, on_error=on_error)
  return Found(published.fingerprint([file], f"{on_error} judged"), pairs.pairs)
