"""Answers in passages."""

import numpy as np
import pytest

from prod_jax.data import answers


@pytest.mark.parametrize(
  ("text", "answer", "found"),
  [
    ("It was built in 1887 by Eiffel.", "eiffel", True),
    ("It was built in 1887 by Eiffel.", "built in 1887", True),
    ("It was built in 1887 by Eiffel.", "in 188", False),
    ("It was built in 1887 by Eiffel.", "built 1887", False),
    ("the U.S. army", "U.S.", True),
    ("the U.S. army", "US", False),
    ("a price of $ 5, paid", "$5", True),
    ("caf\u00e9 noir", "cafe\u0301 NOIR", True),
    ("cafe noir", "caf\u00e9", False),
    ("caf\u00e9 noir", "cafe", False),
    ("one\u00a0two\tthree", "two three", True),
    ("anything", "", False),
    ("anything", " \n", False),
    ("snake_case", "case", True),
  ],
)
def test_an_answer_is_a_row_of_whole_tokens(text, answer, found):
  assert answers.contained(text, ["never there", answer]) is found


def test_labels_are_of_each_querys_own_answers():
  texts = ["red fox", "blue fox", "red hen"]
  ids_QK = np.array([[0, 1, 2], [2, 1, -1]], np.int32)
  found = answers.labels(ids_QK, [("red",), ("fox", "hen")], texts.__getitem__)
  assert found.tolist() == [[True, False, True], [True, True, False]]
  assert answers.labels(np.zeros((0, 3), int), [], texts.index).shape == (0, 3)
