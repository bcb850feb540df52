"""Files of published sets: where in a folder they are.

A file may be plain, gzipped, or inside an archive that its publisher made.
Fetching them is download.py, which files a set has is datasets/.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from prod_jax.sets.lines import Member, Source
from prod_jax.sets.records import DataError

# Names of archives, with the names of the files in each.
Archives = Mapping[str, Sequence[str]]
_NONE: Archives = {}


class Labels(NamedTuple):
  """Files of a split.

  Attributes:
    queries: names of the file of texts; the first that is there counts.
    qrels: name of the file of judgements.
  """

  queries: tuple[str, ...]
  qrels: str


def locate(
  folder: pathlib.Path, name: str, archives: Archives = _NONE
) -> Source | None:
  """The file, with `.gz` at the end, or in an archive that has it; else None.

  Args:
    folder: to look in.
    name: of the file.
    archives: names of archives and of what is in them.
  """
  for path in (folder / name, folder / f"{name}.gz"):
    if path.is_file():
      return path
  for archive, names in archives.items():
    if name in names and (folder / archive).is_file():
      return Member(folder / archive, name)
  return None


def require(
  folder: pathlib.Path, *names: str, archives: Archives = _NONE
) -> Source:
  """The first of some files that is there, or else DataError."""
  for name in names:
    if (found := locate(folder, name, archives)) is not None:
      return found
  holders = [a for a, inside in archives.items() if set(names) & set(inside)]
  places = " or ".join([*names, *(f"{name}.gz" for name in names), *holders])
  raise DataError(f"{folder}: expected a file {places} in it")


def labelled(
  folder: pathlib.Path,
  splits: Mapping[str, Labels],
  archives: Archives = _NONE,
) -> dict[str, tuple[Source, Source]]:
  """Files of queries and judgements of the splits whose judgements are there.

  Raises:
    DataError: there is no such split, or one has no queries.
  """
  found = {}
  for split, (queries, qrels) in splits.items():
    judged = locate(folder, qrels, archives)
    if judged is not None:
      found[split] = require(folder, *queries, archives=archives), judged
  if not found:
    names = " or ".join(labels.qrels for labels in splits.values())
    raise DataError(
      f"{folder}: expected a file {names} in it, with its queries"
    )
  return found
