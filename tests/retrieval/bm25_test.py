"""BM25: the formula by hand, words as they are, and what is not installed."""

import math
import sys

import numpy as np
import pytest

from prod_jax import strict
from prod_jax.retrieval import bm25

PASSAGES = ["Tea and tea", "vitamin c in boats", "old boats", "the sea"]


@pytest.fixture
def library():
  return pytest.importorskip("bm25s", reason="of the extra bm25")


def test_scores_are_those_of_the_formula(library):
  ids, scores = bm25.search(PASSAGES, ["boats c", "tea"], 3)
  lengths = [3, 4, 2, 2]
  mean = sum(lengths) / 4

  def score(times: int, holds: int, length: int) -> float:
    """One word of Lucene's BM25, with k1 .9 and b .4."""
    idf = math.log(1 + (4 - holds + 0.5) / (holds + 0.5))
    return idf * times / (times + 0.9 * (1 - 0.4 + 0.4 * length / mean))

  assert ids.tolist() == [[1, 2, -1], [0, -1, -1]]
  np.testing.assert_allclose(
    scores,
    [
      [score(1, 2, 4) + score(1, 1, 4), score(1, 2, 2), -np.inf],
      [score(2, 1, 3), -np.inf, -np.inf],
    ],
    rtol=1e-6,
  )


def test_more_are_asked_for_than_there_are(library):
  ids, scores = bm25.search(PASSAGES, ["boats", "?!", "unheard of"], 9)
  assert ids.shape == scores.shape == (3, 9)
  assert sorted(ids[0][ids[0] >= 0]) == [1, 2]
  assert (ids[1:] == -1).all() and (scores[1:] == -np.inf).all()
  empty, _ = bm25.search(["?", "!"], ["tea"], 2)
  assert (empty == -1).all()


def test_words_are_stemmed_where_a_language_is_named(library):
  pytest.importorskip("Stemmer", reason="of the extra bm25")
  assert (bm25.search(PASSAGES, ["boat"], 2)[0] == -1).all()
  stemmed, _ = bm25.search(PASSAGES, ["boat"], 2, "english")
  assert sorted(stemmed[0]) == [1, 2]
  with pytest.raises(strict.ConfigError, match="no such language; it has ara"):
    bm25.search(PASSAGES, ["boat"], 2, "elvish")


@pytest.mark.parametrize(
  ("missing", "language"), [("bm25s", ""), ("Stemmer", "english")]
)
def test_what_is_not_installed_is_said(monkeypatch, missing, language):
  monkeypatch.setitem(sys.modules, missing, None)
  with pytest.raises(
    strict.ConfigError, match=r"pip install 'prod_jax\[bm25\]'"
  ):
    bm25.search(PASSAGES, ["boats"], 2, language)
