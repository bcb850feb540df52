"""What is said of a set as it is opened."""

import types

import pytest

from prod_jax.sets import said
from prod_jax.sets.records import Query

LABEL = (("p1", 1),)


@pytest.mark.parametrize(
  ("train", "message"),
  [
    (
      Query("a", "How  is TEA made", LABEL),
      "1 of the 2 queries of test",
    ),
    (Query("a", "how is tea made", ()), ""),  # nobody said what is right
    (Query("a", "how is tea sold", LABEL), ""),
  ],
)
def test_queries_that_are_learnt_and_measured_are_named(caplog, train, message):
  test = [Query("b", "when", LABEL), Query("c", "how is tea made", LABEL)]
  queries = {"train": [train], "test": test}
  said.tests_in_train(types.SimpleNamespace(name="set", queries=queries))
  assert (message in caplog.text) if message else not caplog.text
  assert not message or "such as c, stand in train with labels" in caplog.text
