"""Answer matching: cases made by hand after DPR's rules."""

import numpy as np
import pytest

from prod_jax.data import answers
from prod_jax.data.lists import Candidates
from prod_jax.data.records import Passage, Query


@pytest.mark.parametrize(
  ("text", "tokens"),
  [
    ("It's 3.5%", ["it", "'", "s", "3", ".", "5", "%"]),
    ("snake_case e-mail", ["snake", "_", "case", "e", "-", "mail"]),
    (
      "tab\tline\nno\u00a0break\u200bzero",
      ["tab", "line", "no", "break", "zero"],
    ),
    ("東京 Ⅷ ½", ["東京", "ⅷ", "½"]),
    ("a\u0301b", ["a\u0301b"]),
    ("\u00e1b", ["a\u0301b"]),
    ("हिन्दी", ["हिन्दी"]),
    ("😀😀", ["😀", "😀"]),
    (" \r\n", []),
  ],
)
def test_tokens(text, tokens):
  assert list(answers.tokens(text)) == tokens


@pytest.mark.parametrize(
  ("text", "wanted", "found"),
  [
    ("The capital is Paris.", ["paris"], True),
    ("The capital is Paris.", ["London", "PARIS"], True),
    ("Parisian streets", ["Paris"], False),
    ("compares", ["pare"], False),
    ("in the year 1999", ["199"], False),
    ("New York City", ["new york"], True),
    ("New, York", ["new york"], False),
    ("J. R. Smith wrote", ["j.r. smith"], True),
    ("JR Smith wrote", ["J.R. Smith"], False),
    ("a caf\u00e9 there", ["cafe\u0301"], True),
    ("a cafe there", ["caf\u00e9"], False),
    ("York New York", ["New York"], True),
    ("New New York", ["New York"], True),
    ("at the end New", ["New York"], False),
    ("rock 'n' roll", ["rock 'n' roll"], True),
    ("any text", [" "], False),
    ("any text", [], False),
    ("", ["x"], False),
  ],
)
def test_contains(text, wanted, found):
  assert answers.contains(text, wanted) == found


PASSAGES = [
  Passage("a", "Noon", "It leaves at dawn."),
  Passage("b", "", "It leaves at NOON."),
  Passage("c", "", "Bread keeps a week."),
]


def test_lists_are_marked_by_the_text_alone():
  rows = np.array([[0, 1, 2, -1], [2, -1, -1, -1], [0, 1, -1, -1]])
  marks = answers.mark(rows, [("noon",), ("noon", "a week"), ("x",)], PASSAGES)
  assert marks.tolist() == [
    [False, True, False, False],
    [True, False, False, False],
    [False, False, False, False],
  ]


def test_hits_count_every_query():
  rows = np.array([[0, 1, 2], [2, -1, -1], [0, 1, -1]])
  queries = [
    Query("q", "?", (), ("noon",)),
    Query("r", "?", (), ("noon", "a week")),
    Query("s", "?", (), ("x",)),
  ]
  values = answers.evaluate(rows, queries, PASSAGES, ["hit@1", "hit@2", "mrr"])
  assert values == {
    "hit@1": {"q": 0, "r": 1, "s": 0},
    "hit@2": {"q": 1, "r": 1, "s": 0},
    "mrr": {"q": 0.5, "r": 1, "s": 0},
  }
  for metric in ("ndcg@10", "recall@5", "hit@0", "hits"):
    with pytest.raises(ValueError, match=rf"'{metric}' needs labels.*hit@20"):
      answers.check_metrics([metric])


def test_passages_with_an_answer_are_positives_behind_the_gold_one():
  lists = Candidates(
    query=np.array([5, 6], np.int32),
    ids=np.array([[1, 2, 0, -1], [0, 1, 2, -1]], np.int32),
    label=np.array([[0, 0, 1, 0], [1, 0, 0, 0]], bool),
    rank=np.array([[0, 1, -1, -1], [0, 1, 2, -1]], np.int32),
    score=np.array([[3, 2, 1, np.nan], [3, 2, 1, np.nan]], np.float32),
  )
  found = answers.relabel(lists, [("noon",), ("x",)], [0, 0], PASSAGES)
  assert found.query.tolist() == [5, 6]
  assert found.ids.tolist() == [[0, 1, 2, -1], [0, 1, 2, -1]]
  assert found.label.tolist() == [
    [True, True, False, False],
    [True, False, False, False],
  ]
  assert found.rank.tolist() == [[-1, 0, 1, -1], [0, 1, 2, -1]]
  np.testing.assert_array_equal(found.score[0], [1, 3, 2, np.nan])
