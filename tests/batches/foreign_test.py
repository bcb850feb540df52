"""Lists and scores of the pairs of a foreign file."""

import numpy as np
import pytest

from prod_jax.batches import foreign
from prod_jax.batches.lists import Candidates
from prod_jax.sets.copies import Copies
from prod_jax.sets.foreign.read import Pairs

NO_COPIES = Copies(*np.empty((3, 0), int))
LABELS = foreign.Labels([(5,), (), (7, 2), (1,)], NO_COPIES, 10)
NAN = np.nan


def pairs(*rows) -> Pairs:
  """Of (query, passage, score), or with a role."""
  rows = [(*row, 0)[:4] for row in rows]
  query, passage, score, role = zip(*rows, strict=True)
  return Pairs(
    np.array(query, np.int32),
    np.array(passage, np.int32),
    np.array(score, np.float32),
    np.array(role, np.int8),
  )


def made(given: Pairs, labels=LABELS, add=False) -> Candidates:
  return foreign.lists_of(foreign.tidied(given, labels, add=add), labels)


def test_lists_are_ranked_by_score_and_labels_that_lack_come_behind():
  lists = made(
    pairs((2, 4, 0.1), (0, 3, 2.0), (2, 7, 0.9), (1, 3, 1.0), (0, 5, 3.0))
  )
  assert lists.query.tolist() == [0, 1, 2]  # 3 is not there
  assert lists.ids.tolist() == [[5, 3, -1], [3, -1, -1], [7, 4, 2]]
  # Nobody has labelled anything of 1.
  assert lists.label.tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 1]]
  assert lists.rank.tolist() == [[0, 1, -1], [0, -1, -1], [0, 1, -1]]
  np.testing.assert_array_equal(
    lists.score,
    np.array([[3, 2, NAN], [1, NAN, NAN], [0.9, 0.1, NAN]], np.float32),
  )
  assert lists.ids.dtype == lists.rank.dtype == lists.query.dtype == np.int32


def test_without_scores_the_order_is_the_files_with_positives_last():
  lists = made(pairs((2, 9, NAN), (2, 7, NAN), (2, 4, NAN)))
  assert lists.ids.tolist() == [[9, 4, 7, 2]]
  assert (lists.rank == -1).all() and np.isnan(lists.score).all()


def test_a_pair_counts_once_by_its_first_score():
  tidy = foreign.tidied(
    pairs((0, 5, 1.0), (0, 3, 2.0), (0, 5, 9.0)), LABELS, add=False
  )
  assert tidy.repeated == tidy.contradictory == 1
  assert tidy.pairs.score.tolist() == [1.0, 2.0]


def test_of_repeated_pairs_one_with_a_score_counts():
  tidy = foreign.tidied(
    pairs(
      (0, 5, NAN),
      (0, 3, 2.0),
      (0, 4, NAN),
      (0, 5, 9.0),
      (0, 5, 8.0),
      (0, 5, 8.0),
      (0, 3, 2.0),
      (0, 4, NAN),
    ),
    LABELS,
    add=False,
  )
  assert tidy.pairs.passage.tolist() == [3, 4, 5]
  np.testing.assert_array_equal(tidy.pairs.score, [2.0, NAN, 9.0])
  assert (tidy.repeated, tidy.contradictory) == (5, 1)


def test_what_the_file_alone_calls_positive_is_no_negative():
  given = pairs((0, 3, 2.0, 0), (0, 4, 1.0, 1), (0, 3, 2.0, 1))
  tidy = foreign.tidied(given, LABELS, add=False)
  assert tidy.unlabelled == 2 and not len(tidy.pairs.query)
  lists = made(given, add=True)
  assert lists.ids.tolist() == [[3, 4, 5]] and lists.label.all()


def test_of_a_query_without_labels_it_is_a_candidate():
  """Or the list of what nobody labelled would lack its best passage."""
  given = pairs((1, 5, 8.0, 1), (1, 6, 2.0), (1, 7, 1.0))
  tidy = foreign.tidied(given, LABELS, add=False)
  assert tidy.unlabelled == 1
  lists = made(given)
  assert lists.ids.tolist() == [[5, 6, 7]] and not lists.label.any()
  assert made(given, add=True).label.tolist() == [[1, 0, 0]]


def test_a_copy_stands_for_its_positive():
  copies = Copies(*np.array([[2, 3, 7], [2, 8, 7]]).T)
  labels = LABELS._replace(copies=copies)
  given = pairs((2, 8, 0.7), (2, 4, 0.5), (0, 8, 0.1), (2, 7, 0.6))
  assert foreign.tidied(given, labels, add=False).copies == 1
  lists = made(given, labels)
  assert lists.ids.tolist() == [[8, 5, -1], [7, 4, 2]]
  # What is said of the passage itself counts, wherever it stands.
  assert lists.score[1, 0] == np.float32(0.6)
  assert made(given, labels, add=True).score[1, 0] == np.float32(0.6)
  alone = pairs((2, 8, 0.7), (2, 4, 0.5), (2, 7, NAN))
  assert made(alone, labels).score[0, 0] == np.float32(0.7)


LISTS = Candidates(
  query=np.array([2, 0], np.int32),
  ids=np.array([[4, 7, -1], [5, 3, 6]], np.int32),
  label=np.array([[0, 1, 0], [1, 0, 0]], bool),
  rank=np.array([[0, 1, -1], [0, 1, 2]], np.int32),
  score=np.array([[2, 1, NAN], [3, 2, 1]], np.float32),
)


def test_scores_are_aligned_with_other_lists():
  given = pairs((0, 6, 0.6), (2, 4, 0.4), (0, 5, 0.5), (9, 9, 1), (0, 3, NAN))
  scores = foreign.scores_of(LISTS, given, LABELS)
  wanted = np.array([[0.4, NAN, NAN], [0.5, NAN, 0.6]], np.float32)
  np.testing.assert_array_equal(scores, wanted)
  assert foreign.missing(LISTS, scores).tolist() == [[0, 1, 0], [0, 1, 0]]
  lists, kept = foreign.dropped(LISTS, scores, LABELS)
  # The other list has lost its positive.
  assert lists.query.tolist() == [0]
  assert lists.ids.tolist() == [[5, -1, 6]]
  assert lists.rank.tolist() == [[0, -1, 1]]
  np.testing.assert_array_equal(kept, wanted[1:])
  assert not foreign.missing(lists, kept).any()


@pytest.mark.parametrize("seed", range(3))
def test_lists_are_those_of_a_loop(seed):
  rng = np.random.default_rng(seed)
  rows = [
    (int(q), int(p), float(rng.normal()))
    for q, p in zip(
      rng.integers(0, 4, 30), rng.integers(0, 10, 30), strict=True
    )
  ]
  lists = made(pairs(*rows))
  first: dict = {}
  for query, passage, score in rows:
    first.setdefault((query, passage), score)
  for line, query in enumerate(lists.query.tolist()):
    own = {p: s for (q, p), s in first.items() if q == query}
    ranked = sorted(own, key=lambda p, own=own: -own[p])
    missed = sorted(set(LABELS.positives[query]) - set(ranked))
    there = lists.ids[line] >= 0
    assert lists.ids[line][there].tolist() == ranked + missed
    assert lists.label[line][there].tolist() == [
      p in LABELS.positives[query] for p in ranked + missed
    ]
