"""Which passages say the same."""

import numpy as np

from prod_jax.sets import copies
from prod_jax.sets.records import Passage

PASSAGES = [
  Passage("a", "One", "the same  text"),
  Passage("b", "", "another"),
  Passage("c", "Two", "the same\ttext "),
  Passage("d", "", "The same text"),
  Passage("e", "", "One the same text"),
]


def keys_of(title_join):
  table = np.zeros((3, len(PASSAGES)), np.uint64)
  return copies.keys_of(PASSAGES, table, title_join=title_join)


def test_white_space_alone_makes_no_other_text():
  keys = keys_of(title_join=": ")
  assert keys.text[0] == keys.text[2] == copies.key("the same text")
  assert len({*keys.text.tolist()}) == 4
  assert keys.whole[0] == keys.text[4]
  assert keys.whole[1] == keys.text[1]
  assert keys.joined[0] == copies.key("One: the same text")
  assert keys.joined[1] == keys.text[1]
  assert sum(table.nbytes for table in keys) == 24 * len(PASSAGES)


def test_copies_are_those_of_positives_that_are_not_labelled_too():
  text_P = keys_of(title_join=" ").text
  found = copies.copies_of(text_P, [(0,), (0, 2), (), (1,), (2, 1)])
  assert [x.tolist() for x in found] == [[0, 4], [2, 0], [0, 2]]
  assert found.by_query(5) == [(2,), (), (), (), (0,)]


def test_copies_are_looked_for_some_rows_at_a_time(monkeypatch):
  monkeypatch.setattr(copies, "_ROWS", 2)
  text_P = np.array([7, 8, 7, 9, 8], np.uint64)
  found = copies.copies_of(text_P, [(2,), (4,)])
  assert [x.tolist() for x in found] == [[0, 1], [0, 1], [2, 4]]


def test_a_copy_of_two_positives_is_one():
  text_P = np.array([7, 7, 7], np.uint64)
  found = copies.copies_of(text_P, [(0, 1)])
  assert [x.tolist() for x in found] == [[0], [2], [0]]


def test_keys_are_kept_on_the_disk(tmp_path, monkeypatch):
  path, wanted = tmp_path / "keys", keys_of(title_join=": ")
  made = copies.kept(path, PASSAGES, title_join=": ")
  monkeypatch.setattr(copies, "keys_of", None)
  again = copies.kept(path, PASSAGES, title_join=": ")
  np.testing.assert_array_equal(made, wanted)
  np.testing.assert_array_equal(again, wanted)
