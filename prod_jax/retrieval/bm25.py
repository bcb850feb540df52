"""BM25 of bm25s: words alone, which a ranker of vectors is held against.

Lucene's form with Anserini's k1 and b. Texts are lower-cased and cut into runs
of letters and digits; no word is left out, and none is stemmed unless a
language is named.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from prod_jax import strict
from prod_jax.retrieval.index import Neighbours

K1, B = 0.9, 0.4  # as Anserini
_WORD = r"(?u)\b\w+\b"  # the library's own leaves out those of one letter


def search(
  passages: Iterable[str],
  queries: Sequence[str],
  k: int,
  language: str = "",
) -> Neighbours:
  """The best passages of each query.

  Args:
    passages: texts by row.
    queries: texts.
    k: how many to find.
    language: whose stemmer of PyStemmer is applied; "" leaves words as they
      are.

  Returns:
    As of `index.Index.search`; a passage without a word of the query is not
    found.

  Raises:
    ConfigError: a library is not installed, or has no such language.
  """
  stemmer = _stemmer(language) if language else None
  words, of_query = (_words(texts, stemmer) for texts in (passages, queries))
  ids_QK = np.full((len(of_query), k), -1, np.int32)
  scores_QK = np.full((len(of_query), k), -np.inf, np.float32)
  if not of_query or not any(words):
    return ids_QK, scores_QK
  index = _library().BM25(k1=K1, b=B, method="lucene", backend="numpy")
  index.index(words, show_progress=False)
  found, scores = index.retrieve(
    of_query,
    k=min(k, len(words)),
    show_progress=False,
    backend_selection="numpy",
  )
  is_hit = scores > 0
  width = found.shape[1]
  ids_QK[:, :width] = np.where(is_hit, found, -1)
  scores_QK[:, :width] = np.where(is_hit, scores, -np.inf)
  return ids_QK, scores_QK


def check(language: str) -> None:
  """Raises ConfigError as `search` does, before it has anything to find."""
  _library()
  if language:
    _stemmer(language)


def _words(texts: Iterable[str], stemmer: Any) -> list[list[str]]:
  return _library().tokenize(
    texts,
    token_pattern=_WORD,
    stopwords=None,
    stemmer=stemmer,
    return_ids=False,
    show_progress=False,
  )


def _library() -> Any:
  try:
    import bm25s  # of an extra
  except ImportError as error:
    raise strict.ConfigError(
      f"bm25 needs bm25s ({error}): pip install 'prod_jax[bm25]'"
    ) from error
  return bm25s


def _stemmer(language: str) -> Any:
  try:
    import Stemmer  # of the same extra
  except ImportError as error:
    raise strict.ConfigError(
      f"bm25:{language} needs PyStemmer ({error}): "
      "pip install 'prod_jax[bm25]'; or leave the language out"
    ) from error
  if language not in Stemmer.algorithms():
    raise strict.ConfigError(
      f"bm25:{language}: PyStemmer has no such language; it has "
      f"{', '.join(Stemmer.algorithms())}"
    )
  return Stemmer.Stemmer(language)
