"""Answer matching: cases made by hand after DPR's rules."""

import numpy as np
import pytest

from prod_jax.data import answers
from prod_jax.data.records import Passage


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


def test_lists_are_marked_by_the_text_alone():
  passages = [
    Passage("a", "Noon", "It leaves at dawn."),
    Passage("b", "", "It leaves at NOON."),
    Passage("c", "", "Bread keeps a week."),
  ]
  rows = np.array([[0, 1, 2, -1], [2, -1, -1, -1], [0, 1, -1, -1]])
  marks = answers.mark(rows, [("noon",), ("noon", "a week"), ("x",)], passages)
  assert marks.tolist() == [
    [False, True, False, False],
    [True, False, False, False],
    [False, False, False, False],
  ]
  assert answers.hits(marks, 1).tolist() == [0, 1, 0]
  assert answers.hits(marks, 2).tolist() == [1, 1, 0]
  assert answers.hits(marks, None).mean() == pytest.approx(2 / 3)
