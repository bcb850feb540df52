"""A prepared retrieval set: passages by row, queries by split, labels.

`locate` finds the files of a set, and `Located.open` prepares what is not on
disk yet and opens it. Texts stay on disk and are read by row; ids are
memory-mapped. How records are stored is datasets/, turning texts into tokens is
batches/tokens.py.
"""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from prod_jax import config
from prod_jax.sets import (
  copies,
  download,
  generated,
  named,
  said,
  sizes,
  unlabelled,
)
from prod_jax.sets import queries as prepared_queries
from prod_jax.sets.datasets import beir, layout, own, published
from prod_jax.sets.negatives import Found, Negatives, Tables, choose, prepared
from prod_jax.sets.passages import Passages, digest, open_passages
from prod_jax.sets.records import DataError, Query


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
  """A retrieval set.

  Attributes:
    name: of the set, or the folder's own name.
    fingerprint: changes whenever any content of this object could.
    passages: by row.
    queries: by split; a query's position in its split is its row. Those of
      train may have no labels.
    row_of: passage id -> row.
    negatives: by split, opens the negatives that came with the set, in rows of
      the whole collection, and gives the rows that the queries have in the
      whole split.
    judged: the same of passages that were judged and found irrelevant.
    leaves_out_own: a query's own document, the passage of its id, counts as
      not there.
    made_of: ids of the passages that the last queries of train were made of.
    folder: where keys of the texts are kept, for the next run; None keeps none.
    title_join: between title and text of a passage, as encoders read them.
  """

  name: str
  fingerprint: str
  passages: Passages
  queries: Mapping[str, Sequence[Query]]
  row_of: Mapping[str, int]
  negatives: Mapping[str, Callable[[], tuple[Negatives, Sequence[int]]]] = (
    dataclasses.field(default_factory=dict)
  )
  judged: Mapping[str, Callable[[], tuple[Negatives, Sequence[int]]]] = (
    dataclasses.field(default_factory=dict)
  )
  leaves_out_own: bool = False
  made_of: Sequence[tuple[str, ...]] = ()
  folder: pathlib.Path | None = None
  title_join: str = " "

  @functools.cached_property
  def keys(self) -> copies.Keys:
    """Keys of the passages' texts, for which all are read once."""
    of = digest(self.passages.fingerprint, self.title_join)
    path = self.folder and self.folder / f"keys-{of}"
    return copies.kept(path, self.passages, title_join=self.title_join)

  def copies_of(self, split: str) -> copies.Copies:
    """Passages with the text of a labelled one, which are no negatives."""
    return copies.copies_of(self.keys.text, self.positive_rows(split))

  def no_negatives(self, split: str) -> list[tuple[int, ...]]:
    """Rows of each query that are no negatives, though nobody labelled them.

    The copies of its positives, and its own document where that is left out.
    """
    copied = self.copies_of(split).by_query(len(self.queries[split]))
    own_Q = self.own_rows(split)
    if own_Q is None:
      return copied
    return [
      (*rows, own) if own >= 0 else rows
      for rows, own in zip(copied, own_Q.tolist(), strict=True)
    ]

  def own_rows(self, split: str) -> np.ndarray | None:
    """Row of each query's own document, int64 [Q], -1 where it has none.

    One that is labelled for its query stays. None where the set leaves none
    out.
    """
    if not self.leaves_out_own:
      return None
    rows = [
      -1 if query.id in dict(query.positives) else self.row_of.get(query.id, -1)
      for query in self.queries[split]
    ]
    return np.array(rows, np.int64)

  def positive_rows(self, split: str) -> list[tuple[int, ...]]:
    """Rows of the labelled positives of each query of a split."""
    return [
      tuple(self.row_of[name] for name, _ in query.positives)
      for query in self.queries[split]
    ]

  @property
  def made_of_rows(self) -> dict[int, tuple[int, ...]]:
    """By query of train: rows of the passages that a generated one is made of.

    They are no labels: nobody has judged them.
    """
    first = len(self.queries.get("train", ())) - len(self.made_of)
    return {
      first + number: tuple(self.row_of[name] for name in names)
      for number, names in enumerate(self.made_of)
    }

  def qrels(self, split: str) -> dict[str, dict[str, int]]:
    """{query id: {passage id: grade}}, of grades above 0.

    Those of passages that the collection lacks are there too.
    """
    return {
      query.id: dict(query.positives + query.missing)
      for query in self.queries[split]
    }

  def answers(self, split: str) -> list[tuple[str, ...]]:
    """Answers of each query of a split; a query without labels has none.

    Raises:
      DataError: there are none.
    """
    queries = self.queries[split]
    answers = [query.answers for query in queries]
    known = any(answers) or not queries
    if not known or any(q.positives and not q.answers for q in queries):
      raise DataError(
        f"{self.name} has queries of split {split!r} without answers; of the "
        "sets here, only 'nq' has them"
      )
    return answers

  def negative_rows(
    self,
    split: str,
    limit: int = 0,
    seed: int = 0,
    *,
    judged: bool = False,
    none: Sequence[Sequence[int]] | None = None,
  ) -> np.ndarray:
    """Rows of the negatives that came with the set; written at first use.

    Args:
      split: of the queries.
      limit: above 0, a random choice of so many a query, by seed and query.
      seed: of that choice.
      judged: takes passages that were judged and found irrelevant, too.
      none: rows of each query that are no negatives either.

    Returns:
      int32 [Q, C], no labelled positives among them, -1 padded.

    Raises:
      DataError: there are none.
    """
    of, numbers = self.own_negatives(split, judged=judged)
    out = self.positive_rows(split)
    bare = len(out) - len(numbers)  # behind those that came with labels
    if none is not None:
      out = [(*a, *b) for a, b in zip(out, none, strict=True)]
    lists, out = map(of, range(len(numbers))), out[: len(numbers)]
    rows_QC = choose(lists, out, numbers, limit=limit, seed=seed)
    return np.pad(rows_QC, ((0, bare), (0, 0)), constant_values=-1)

  def own_negatives(
    self, split: str, *, judged: bool = False
  ) -> tuple[Callable[[int], np.ndarray], Sequence[int]]:
    """What came with a split: the rows of a query, and the queries' numbers.

    Raises:
      DataError: there are none.
    """
    tables = [self.negatives, self.judged] if judged else [self.negatives]
    if not any(split in table for table in tables):
      raise DataError(no_negatives(self.name, split, self.negatives))
    opened = [table[split]() for table in tables if split in table]
    numbers = opened[0][1]
    whole = self.passages.rows

    def of(query: int) -> np.ndarray:
      number = numbers[query]
      rows = np.concatenate([found.of(number) for found, _ in opened])
      if isinstance(whole, np.ndarray):  # in a smaller haystack
        at = np.searchsorted(whole, rows)
        rows = at[whole[np.minimum(at, len(whole) - 1)] == rows]
      return rows[np.sort(np.unique(rows, return_index=True)[1])]

    return of, numbers


@dataclasses.dataclass(frozen=True, eq=False)
class Located:
  """A retrieval set whose files are there, prepared or not.

  Attributes:
    data: what the config says of it.
    data_dir: where prepared data is kept.
    source: the set as it was published.
  """

  data: config.Data
  data_dir: str
  source: published.Source

  @functools.cached_property
  def fingerprint(self) -> str:
    """That of the open set: it needs the files, and nothing of what is made."""
    names = layout.names(self.source).values()
    queries = dict(sorted(self.data.max_queries.items()))
    limits = queries, self.data.max_passages
    more = self.data.labelled, self.leaves_out_own and "own documents"
    return digest(*names, *limits, *filter(None, more))

  @property
  def leaves_out_own(self) -> bool:
    """As of `Dataset`."""
    said = self.data.own_documents
    if said or self.data.name != "beir":
      return said == "leave_out"
    return beir.asks_with_passages(self.source.name)

  @property
  def prepared(self) -> bool:
    """Whether `open` has nothing to make."""
    return layout.are_whole(self.source, self.data_dir)

  def open(self, beam: Sequence[str] = ()) -> Dataset:
    """Opens the set, prepared now unless it was before.

    Args:
      beam: pipeline options of a Beam runner that is to prepare it.

    Raises:
      DataError: the data is at fault, or has less than the config asks for.
    """
    start = time.monotonic()
    source, limits = self.source, dict(self.data.max_queries)
    builders = layout.prepared(source, self.data_dir, beam)
    whole = layout.read_ids(builders["passages"], layout.CORPUS)
    queries, numbers = prepared_queries.read(
      builders["queries"],
      named.SPLITS,
      limits,
      whole if self.data.on_error == "skip" else None,
    )
    passages, row_of = open_passages(
      builders["passages"],
      layout.CORPUS,
      whole,
      queries,
      self.data.max_passages,
    )
    # Passages are chosen before: a set with fewer labels is no smaller.
    bare, made_of = generated.parted(queries)
    dataset = Dataset(
      name=source.name,
      fingerprint=self.fingerprint,
      passages=passages,
      queries=unlabelled.merged(bare, self.data.labelled),
      made_of=made_of,
      row_of=row_of,
      negatives=_readers(source.negatives, builders, numbers),
      judged=_readers(source.judged, builders, numbers),
      leaves_out_own=self.leaves_out_own,
      folder=pathlib.Path(builders["passages"].data_dir),
      title_join=self.data.title_join,
    )
    size = sizes.Size(len(passages), {k: len(v) for k, v in queries.items()})
    if not limits and not self.data.max_passages:
      sizes.check(source.name, size)
    said.what_is_there(dataset, time.monotonic() - start)
    if self.data.name in ("folder", "beir"):  # nobody else has looked
      said.tests_in_train(dataset)
      if not (self.data.own_documents or self.leaves_out_own):
        said.own_documents(dataset)
    return dataset


def locate(
  data: config.Data, data_dir: str, *, may_fetch: bool = True
) -> Located:
  """Finds the files of a set, downloaded now unless they are there.

  Args:
    data: which set, and how it is read.
    data_dir: where downloads and prepared data are kept.
    may_fetch: whether to download; nothing is written without.

  Raises:
    NotDownloaded: they are not there and may not be fetched.
    DataError: they are not there, or the set has no use for an option.
  """
  downloads = download.Downloads(
    pathlib.Path(data_dir) / "downloads" / data.name, may_fetch
  )
  return Located(data, data_dir, named.source(data, downloads))


def no_negatives(name: str, split: str, known: Collection[str]) -> str:
  """Says that a split has no negatives of its own, and what can be done."""
  some = ", ".join(known) or "none of its splits"
  return (
    f"{name} comes without negatives for split {split!r}; it has some for "
    f"{some}. Put a file {own.name_of(split)} into data.path, a query id and a "
    "passage id on a line, take lists from a file by a stage of kind imported, "
    "or mine them"
  )


def _readers(
  by_split: Mapping[str, Callable[[], Found]],
  builders: Mapping[Any, Any],
  numbers: Mapping[str, Sequence[int]],
) -> dict[str, Callable[[], tuple[Negatives, Sequence[int]]]]:
  return {
    split: functools.partial(_open_negatives, reader, builders, split, rows)
    for split, rows in numbers.items()
    if (reader := by_split.get(split)) is not None
  }


def _open_negatives(
  reader: Callable[[], Found],
  builders: Mapping[Any, Any],
  split: str,
  numbers: Sequence[int],
) -> tuple[Negatives, Sequence[int]]:
  folder, passages = (
    pathlib.Path(builders[kind].data_dir) for kind in ("queries", "passages")
  )
  tables = Tables((folder, split), (passages, layout.CORPUS))
  count = builders["queries"].info.splits[split].num_examples
  found = prepared(folder / f"negatives-{split}", reader(), tables, count)
  return found, numbers
