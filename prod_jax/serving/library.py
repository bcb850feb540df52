"""A collection with its systems, and what a query gets of them.

Answers are plain values, for JSON as they are; docs/SEARCH.md says what each
of them means. A system is opened when it is first asked.
"""

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from prod_jax.serving import words
from prod_jax.serving.listed import STUDENT, Listed
from prod_jax.serving.searchers import DEPTH, Ranking, Searcher
from prod_jax.sets.dataset import Dataset
from prod_jax.sets.records import Query

MOST_HITS = DEPTH
MOST_CHARACTERS = 1000  # of a query
CONTEXT = 280  # characters of a passage around the words of a query
TITLE, TEXT = 300, 4000  # characters that are given of a passage
EXAMPLES = 6  # queries that somebody may begin with
# What queries of are known by their words, if those of another split are equal.
_FIRST = ("test", "dev")


class Unknown(KeyError):
  """There is no system of that name."""


class BadQuery(ValueError):
  """It cannot be answered; the message says why, and nothing else."""


class Asked(NamedTuple):
  """A query, to be answered.

  Attributes:
    query: as somebody typed it.
    system: name of the one that answers.
    before: name of another one, whose ranks are told too; "" is none.
    hits: how many passages are told.
  """

  query: str
  system: str
  before: str = ""
  hits: int = 10


class _Known(NamedTuple):
  """A query of the set."""

  split: str
  query: Query


class Library:
  """A collection that can be searched.

  Several threads may ask at once.

  Args:
    dataset: the collection, and queries that are known.
    systems: what it can be searched with; the first one of each role is that
      which is shown first.
    chosen: name of the one that answers where none is named.
  """

  def __init__(self, dataset: Dataset, systems: Sequence[Listed], chosen: str):
    self.dataset, self.chosen = dataset, chosen
    self.systems = {system.name: system for system in systems}
    self._opened: dict[str, Searcher] = {}
    self._opening, self._reading = threading.RLock(), threading.Lock()
    self._known = _known(dataset)

  @property
  def beside(self) -> str:
    """The system that a page shows beside the chosen one, which it may be."""
    names = [s.name for s in self.systems.values() if s.role != STUDENT]
    return names[0] if names else self.chosen

  def opened(self, name: str) -> Searcher:
    """A system that is ready to answer.

    Raises:
      Unknown: there is none of that name.
    """
    if name not in self.systems:
      raise Unknown(name)
    if name not in self._opened:
      with self._opening:
        if name not in self._opened:  # by nobody else meanwhile
          searcher = self.systems[name].open(self.opened)
          searcher.warm()
          self._opened[name] = searcher
    return self._opened[name]

  def described(self) -> dict[str, Any]:
    """What there is, as `/api/systems` tells it."""
    return {
      "collection": {
        "name": self.dataset.name,
        "passages": len(self.dataset.passages),
      },
      "chosen": self.chosen,
      "systems": [system.described() for system in self.systems.values()],
      "examples": [known.query.text for known in self._examples()],
    }

  def answer(self, asked: Asked) -> dict[str, Any]:
    """What a system finds for a query, as `/api/search` tells it.

    Raises:
      Unknown: there is no such system.
      BadQuery: it is empty or too long.
      DataError: vectors are broken.
    """
    query = checked(asked.query)
    searcher = self.opened(asked.system)
    before = self.opened(asked.before) if asked.before else None
    start = time.perf_counter()
    ranking = searcher.search(query)
    places = _places(before.search(query)) if before else {}
    known = self._known.get(_key(query))
    grades = dict(known.query.positives) if known else {}
    ids = ranking.ids_K[: asked.hits].tolist()
    scores = ranking.scores_K[: asked.hits].tolist()
    hits = [
      {
        "rank": rank,
        "score": score,
        "before": places.get(row) if before else None,
        **self._passage(row, query, grades),
      }
      for rank, (row, score) in enumerate(zip(ids, scores, strict=True), 1)
    ]
    system = self.systems[asked.system]
    return {
      "query": query,
      "system": asked.system,
      "before": asked.before or None,
      "index": {
        "kind": searcher.kind,
        "recall": system.recall(searcher.kind),
        "orders": searcher.orders or None,
      },
      "known": known and {"split": known.split, "id": known.query.id},
      "hits": hits,
      "missed": self._missed(grades, ranking, ids),
      "milliseconds": round((time.perf_counter() - start) * 1000, 2),
    }

  def _passage(
    self, row: int, query: str, grades: Mapping[str, int]
  ) -> dict[str, Any]:
    with self._reading:
      passage = self.dataset.passages[row]
    return {
      "id": passage.id,
      "title": _cut(passage.title, TITLE),
      "context": words.context(query, passage.text, CONTEXT),
      "text": _cut(passage.text, TEXT),
      "relevant": grades.get(passage.id, 0),
    }

  def _missed(
    self, grades: Mapping[str, int], ranking: Ranking, told: Sequence[int]
  ) -> list[dict[str, Any]]:
    """The relevant passages that are not among the hits, the nearest first."""
    places = _places(ranking)
    rows = {name: self.dataset.row_of[name] for name in grades}
    missed = [
      {"id": name, "relevant": grades[name], "rank": places.get(row)}
      for name, row in rows.items()
      if row not in told
    ]
    return sorted(missed, key=lambda passage: passage["rank"] or math.inf)

  def _examples(self) -> Iterator[_Known]:
    """Some queries of the split that a run is measured on."""
    splits = [known.split for known in self._known.values()]
    first = next((s for s in (*_FIRST, *splits) if s in splits), "")
    some = [known for known in self._known.values() if known.split == first]
    return iter(some[:: max(len(some) // EXAMPLES, 1)][:EXAMPLES])


def checked(query: str) -> str:
  """A query that can be answered: without what is no text, and spaces around.

  Raises:
    BadQuery: it is empty or too long.
  """
  if len(query) > MOST_CHARACTERS:
    raise BadQuery(f"a query has at most {MOST_CHARACTERS:,} characters")
  # What a terminal could not decode, and NUL.
  text = query.encode("utf-8", "replace").decode().replace("\0", " ").strip()
  if not text:
    raise BadQuery("the query is empty")
  return text


def _known(dataset: Dataset) -> dict[str, _Known]:
  """The queries with labels, by their words."""
  found: dict[str, _Known] = {}
  splits = sorted(dataset.queries, key=lambda split: split not in _FIRST)
  for split in splits:
    for query in dataset.queries[split]:
      if query.positives:
        found.setdefault(_key(query.text), _Known(split, query))
  return found


def _cut(text: str, width: int) -> str:
  """A text of so many characters, … among them where some are left out."""
  return text if len(text) <= width else f"{text[: width - 1]}…"


def _key(query: str) -> str:
  return " ".join(query.split()).casefold()


def _places(ranking: Ranking) -> dict[int, int]:
  """The rank, from 1, of each row."""
  return {row: rank for rank, row in enumerate(ranking.ids_K.tolist(), 1)}
