"""What finds passages for one query: an encoder and an index, or an order.

A model that reads a query with each passage finds nothing by itself. It orders
the first passages of another one, as in a run.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from prod_jax.batches import rows
from prod_jax.batches.store import TokenStore
from prod_jax.export.as_it_is import Reader
from prod_jax.retrieval import rerank, search
from prod_jax.retrieval.index import Neighbours, Vectors
from prod_jax.serving import queries
from prod_jax.sets.records import DataError

DEPTH = 100  # passages that are looked up
REORDERED = 16  # of these, so many are read with the query


class Ranking(NamedTuple):
  """Passages for a query, best first.

  Attributes:
    ids_K: rows of the collection.
    scores_K: of each; a cosine, where that is how vectors are compared.
  """

  ids_K: np.ndarray
  scores_K: np.ndarray


@runtime_checkable
class Searcher(Protocol):
  """Whatever ranks passages for a query.

  Attributes:
    kind: of its index, or "rerank".
    orders: the system whose first passages it puts in order, "" where it finds
      them itself.
  """

  kind: str
  orders: str

  def search(self, query: str) -> Ranking: ...

  def warm(self) -> None:
    """Compiles what it needs, so that the first query is as quick as others."""


class ByVectors:
  """Vectors of the collection, and the model that they are of.

  Args:
    name: of the model, for errors.
    reader: with a dual encoder.
    vectors: of the collection's rows.

  Raises:
    DataError: a vector holds NaN or infinity.
  """

  orders = ""

  def __init__(self, name: str, reader: Reader, vectors: Vectors):
    self._name, self._width = name, vectors.shape[1]
    self._encoder = queries.QueryEncoder(reader)
    with self._named():
      self._index = search.open_index("scann", vectors)
    self.kind = self._index.kind

  def search(self, query: str) -> Ranking:
    """The first `DEPTH` passages."""
    ids_1K, scores_1K = self._look_up(self._encoder(query))
    there_K = ids_1K[0] >= 0
    scores_K = scores_1K[0][there_K] / self._encoder.scale
    return Ranking(ids_1K[0][there_K], scores_K)

  def warm(self) -> None:
    self._encoder.warm()
    self._look_up(np.ones((1, self._width), np.float32))

  def _look_up(self, query_1D: np.ndarray) -> Neighbours:
    with self._named():
      return self._index.search(query_1D, DEPTH)

  @contextlib.contextmanager
  def _named(self) -> Iterator[None]:
    """Says of which model a broken vector is."""
    try:
      yield
    except ValueError as error:
      raise DataError(f"{self._name}: {error}") from error


class ByPairs:
  """A cross-encoder or late-interaction model over what another one found.

  Args:
    name: of the model, for errors.
    reader: with such a model.
    passages: their tokens, as it reads them.
    orders: name of the other one.
    first: the other one.
  """

  kind = "rerank"

  def __init__(
    self,
    name: str,
    reader: Reader,
    passages: TokenStore,
    orders: str,
    first: Searcher,
  ):
    self._name, self._reader = name, reader
    self._passages, self._first = passages, first
    self.orders = orders
    data = dataclasses.replace(reader.frozen.data, packed=False)
    longest = rows.longest(reader.kind, data)
    if reader.kind == "late":
      longest = data.passage_length
    # One batch, of one shape, whatever the texts are.
    self._frozen = dataclasses.replace(
      reader.frozen, data=data, batch_tokens=REORDERED * longest
    )

  def search(self, query: str) -> Ranking:
    """The first `REORDERED` passages of the other one, in a new order.

    Raises:
      DataError: a score is NaN.
    """
    ids_1N = self._first.search(query).ids_K[None, :REORDERED]
    scores_1N = rerank.score_lists(
      self._frozen,
      queries.tokens_of(self._reader, query),
      self._passages,
      np.zeros(1, np.int64),
      ids_1N,
    )
    if np.isnan(scores_1N[ids_1N >= 0]).any():
      raise DataError(
        f"{self._name} gives scores that are not a number; its weights are "
        "broken"
      )
    ids_1N, scores_1N = rerank.in_order(ids_1N, scores_1N)
    return Ranking(ids_1N[0], scores_1N[0])

  def warm(self) -> None:
    self.search("")
