"""A query as tokens and as a vector, by programs that are compiled beforehand.

A stage embeds thousands of texts at once; here it is one, and it is waited for.
It is padded to one of a few lengths, for each of which there is a program, and
nothing is handed from thread to thread.
"""

import numpy as np

from prod_jax.batches import rows, store, tokens
from prod_jax.export.as_it_is import Reader
from prod_jax.models.dual import DualEncoder
from prod_jax.retrieval import encode, forward
from prod_jax.sets.records import Passage

_ONE = np.zeros(1, np.int64)


def tokens_of(reader: Reader, query: str) -> store.TokenStore:
  """A store with the tokens of a query, as a stage has them."""
  prompt = reader.prompts.get("query", "")
  # A passage without a title is its text, whatever joins the two.
  texts = tokens.with_titles(
    reader.tokenizer, [Passage("", "", query)], " ", prompt
  )
  return store.store_of(list(texts))


class QueryEncoder:
  """A dual encoder's vector of one query.

  Args:
    reader: with a dual encoder.
  """

  def __init__(self, reader: Reader):
    assert isinstance(reader.frozen.model, DualEncoder)
    self._reader, self._model = reader, reader.frozen.model
    self._params = reader.frozen.copies.params[0]
    self._longest = reader.frozen.data.query_length
    self._lengths = forward.lengths_of_shapes(self._longest)

  @property
  def scale(self) -> float:
    """What a cosine is multiplied by in its vectors."""
    return self._model.scale

  def warm(self) -> None:
    """Compiles all programs, or reads them where they were kept."""
    for length in self._lengths:
      self._embed(store.store_of([np.zeros(length, np.int32)]), length)

  def __call__(self, query: str) -> np.ndarray:
    """float32 [1, D]; its product with a passage's vector is the score."""
    return self._embed(tokens_of(self._reader, query), self._longest)

  def _embed(self, tokens: store.TokenStore, longest: int) -> np.ndarray:
    special = self._reader.frozen.special
    text = rows.single(tokens.slices(_ONE), longest, special)
    length = next(n for n in self._lengths if n >= text.lengths[0])
    padded = rows.padded(text, length)
    return np.asarray(
      encode.embed_texts(self._model, self._params, padded, "query")
    )
