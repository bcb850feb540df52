"""Answer matching: cases made by hand after DPR's rules."""

import io

import numpy as np
import pytest

from prod_jax.sets import answers
from prod_jax.sets.records import Passage, Query


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
def test_a_text_with_an_answer_is_marked(text, wanted, found):
  passages = [Passage("a", "no title", text)]
  marks = answers.mark(np.zeros((1, 1), int), [wanted], passages)
  assert marks.tolist() == [[found]]


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


def test_somebody_who_waits_is_told_how_far_it_is(monkeypatch, caplog):
  now = iter(range(1000, 9000, 40))
  monkeypatch.setattr(answers.progress.time, "monotonic", lambda: next(now))
  caplog.set_level("INFO")
  monkeypatch.setattr("sys.stderr", io.StringIO())
  answers.mark(np.zeros((9, 1), int), [("dawn",)] * 9, PASSAGES)
  assert "answers in passages: 2 of 9 lists" in caplog.text


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
