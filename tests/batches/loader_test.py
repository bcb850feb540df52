"""Batches: what is in them, and that batch s is a function of seed and s."""

import dataclasses

import numpy as np
import pytest

from prod_jax import config, strict
from prod_jax.batches import draws, loader, packing
from prod_jax.batches.assemble import Embeddings, Examples
from prod_jax.batches.lists import Candidates, Compared, Dark
from prod_jax.batches.special import Special
from prod_jax.batches.store import store_of

SPECIAL = Special((101,), (102,), (102,), pad=0, mask=103)
QUERIES, PASSAGES, COLUMNS = 6, 20, 4
RANDOM = draws.Random()


def examples(**changes):
  rng = np.random.default_rng(0)
  fields = dict(
    queries=store_of([np.array([q + 1, 7], np.int32) for q in range(QUERIES)]),
    passages=store_of([np.array([p + 50], np.int32) for p in range(PASSAGES)]),
    special=SPECIAL,
    positives=[(q, q + 10) if q % 2 else (q,) for q in range(QUERIES)],
    rows=np.arange(QUERIES),
    data=config.Data(query_length=5, passage_length=4),
    negatives=2,
    sampling=RANDOM,
    passage=True,
    pair=True,
    embeddings=Embeddings(
      query=rng.normal(size=(QUERIES, 2)).astype(np.float32),
      passage=rng.normal(size=(PASSAGES, 2)).astype(np.float32),
    ),
  )
  return Examples(**{**fields, **changes})


def lists():
  """Query q retrieved passages 14 … 17 and missed its positive q."""
  ids = np.tile(np.arange(14, 18, dtype=np.int32), (QUERIES, 1))
  own = np.arange(QUERIES, dtype=np.int32)[:, None]
  ids = np.concatenate([ids, own], axis=1)
  label = np.zeros(ids.shape, bool)
  label[:, -1] = True
  rank = np.tile(np.array([0, 1, 2, 3, -1], np.int32), (QUERIES, 1))
  score = ids.astype(np.float32) / 10
  return Candidates(own[:, 0], ids, label, rank, score)


def batches(
  source,
  seed=3,
  batch_size=4,
  first=0,
  local_rows=None,
  grouping=None,
  **changes,
):
  """Batches of examples, some fields of which are changed."""
  return loader.batches(
    dataclasses.replace(source, **changes),
    batch_size=batch_size,
    seed=seed,
    first=first,
    local_rows=local_rows,
    grouping=grouping,
    steps=16,
  )


def assert_same(a, b):
  for x, y in zip(a, b, strict=True):
    if isinstance(x, tuple):
      assert_same(x, y)
    elif x is None:
      assert y is None
    else:
      np.testing.assert_array_equal(x, y)


def test_texts_scores_and_ids_belong_together():
  source = examples(
    candidates=lists(), by_list={"list_scores_BN": lists().score * 2}
  )
  batch = next(batches(source))
  for b, row in enumerate(batch.query_id_B):
    assert batch.query.ids[b].tolist() == [101, row + 1, 7, 102, 0]
    assert batch.passage_id_BN[b, 0] == row
    assert set(batch.passage_id_BN[b, 1:]) < {14, 15, 16, 17}
    for n, passage in enumerate(batch.passage_id_BN[b]):
      assert batch.passage.ids[b, n].tolist() == [101, passage + 50, 102, 0]
      pair = [101, row + 1, 7, 102, passage + 50, 102]
      assert batch.pair.ids[b, n, :6].tolist() == pair
      assert batch.list_scores_BN[b, n] == pytest.approx(passage / 5)
      np.testing.assert_array_equal(
        batch.teacher_passage_BND[b, n], source.embeddings.passage[passage]
      )
    np.testing.assert_array_equal(
      batch.teacher_query_BD[b], source.embeddings.query[row]
    )
  assert batch.where_BN.all()
  assert batch.anchor_BN is None


def test_positives_are_padded_to_the_longest():
  batch = next(batches(examples(), batch_size=6))
  found = dict(zip(batch.query_id_B, batch.positive_id_BM, strict=True))
  assert found[2].tolist() == [2, -1]
  assert found[3].tolist() == [3, 13]


def test_what_says_the_same_is_no_negative_in_the_batch_either():
  """Of queries with a label: masks know no texts, only numbers."""
  copies = [(39, 38) if q == 3 else () for q in range(QUERIES)]
  bare = [() if q == 2 else (q,) for q in range(QUERIES)]
  copies[2] = (37,)
  source = examples(copies=copies, positives=bare, candidates=lists())
  batch = next(batches(source, batch_size=QUERIES, seed=1))
  found = dict(zip(batch.query_id_B, batch.positive_id_BM, strict=True))
  assert found[3].tolist() == [3, 39, 38]
  assert found[4].tolist() == [4, -1, -1]
  assert found[2].tolist() == [-1, -1, -1]


def test_drawn_negatives_are_never_positives():
  short = [np.array([p + 50], np.int32) for p in range(12)]
  source = examples(passages=store_of(short))
  iterator = batches(source, negatives=8)
  for _ in range(20):
    batch = next(iterator)
    for row, ids, where in zip(
      batch.query_id_B, batch.passage_id_BN, batch.where_BN, strict=True
    ):
      assert not set(ids[1:]) & set(source.positives[row])
      assert (where == (ids >= 0)).all()


def test_a_batch_depends_on_seed_and_step_alone():
  source = examples(candidates=lists())
  first, again = batches(source), batches(source)
  seen = [next(first) for _ in range(5)]
  assert_same(seen[0], next(again))
  assert_same(next(first), next(batches(source, first=5)))
  other = next(batches(source, seed=4))
  assert (other.query_id_B != seen[0].query_id_B).any()


@pytest.mark.parametrize("listed", [False, True])
def test_parts_of_a_batch_are_the_batch(listed):
  extra = {"candidates": lists()} if listed else {}
  source = examples(passage=True, pair=True, **extra)
  whole = next(batches(source, first=2))
  parts = [
    next(batches(source, first=2, local_rows=np.array(rows)))
    for rows in ([0, 2], [1], [3])
  ]

  def joined(*fields):
    return None if fields[0] is None else np.concatenate(fields)

  order = np.array([0, 2, 1, 3])
  for field in whole._fields:
    here, there = getattr(whole, field), [getattr(p, field) for p in parts]
    if isinstance(here, tuple):
      for x, *pieces in zip(here, *there, strict=True):
        np.testing.assert_array_equal(x[order], joined(*pieces))
    elif here is not None:
      np.testing.assert_array_equal(here[order], joined(*there))
    else:
      assert joined(*there) is None


def test_each_epoch_has_every_query_in_its_own_order():
  iterator = batches(examples(), batch_size=3)
  orders = [
    np.concatenate([next(iterator).query_id_B for _ in range(2)])
    for _ in range(4)
  ]
  assert all(sorted(order) == list(range(QUERIES)) for order in orders)
  assert len({tuple(order) for order in orders}) > 1


def test_fewer_queries_than_a_batch_are_repeated_and_none_is_an_error():
  few = dataclasses.replace(examples(), rows=np.array([1, 2]))
  batch = next(batches(few, batch_size=4))
  assert sorted(batch.query_id_B.tolist()) == [1, 1, 2, 2]
  none = dataclasses.replace(examples(), rows=np.empty(0, np.int64))
  with pytest.raises(strict.ConfigError, match="no training query"):
    batches(none)


def test_groups_of_a_ranking_come_with_their_numbers():
  """The teacher likes what was retrieved last; labels do not matter."""
  source = examples(
    candidates=lists(), by_list={"list_scores_BN": lists().score}
  )
  sampling = draws.RankingGroups(sizes=(2, 1), depths=(2, 4))
  batch = next(batches(source, sampling=sampling))
  assert (batch.passage_id_BN[:, :2] == [17, 16]).all()
  assert set(batch.passage_id_BN[:, 2]) <= {14, 15}
  assert (batch.ranking_group_BN == [0, 0, 1]).all()
  np.testing.assert_allclose(batch.list_scores_BN, batch.passage_id_BN / 10)


def test_triples_hold_the_positive_and_another_in_both_orders():
  source = examples(candidates=lists(), triple=True, pair=False)
  batch = next(batches(source, negatives=3))
  assert batch.pair is None
  assert batch.triple.ids.shape == (4, 3, 2, 5 + 2 * 3)
  for b, row in enumerate(batch.query_id_B):
    for j in range(3):
      p, n = batch.passage_id_BN[b, 0] + 50, batch.passage_id_BN[b, j + 1] + 50
      front = [101, row + 1, 7, 102]
      assert batch.triple.ids[b, j, 0, :8].tolist() == [*front, p, 102, n, 102]
      assert batch.triple.ids[b, j, 1, :8].tolist() == [*front, n, 102, p, 102]
  assert batch.where_BJ.all()


def test_a_triple_without_a_passage_does_not_count():
  alone = lists()._replace(label=lists().ids >= 0)
  batch = next(batches(examples(candidates=alone, triple=True)))
  assert not batch.where_BJ.any()


def test_scores_of_columns_that_stand_for_nothing_are_zero():
  """A list that is all positives, and a ranking that ends too early."""
  alone = lists()._replace(label=lists().ids >= 0)
  score = lists().score + 1
  batch = next(
    batches(
      examples(
        candidates=alone, by_list={"list_scores_BN": score, "anchor_BN": score}
      )
    )
  )
  assert (batch.where_BN == [True, False, False]).all()
  assert (batch.passage_id_BN[:, 1:] == -1).all()
  for cached_BN in (batch.list_scores_BN, batch.anchor_BN):
    assert (cached_BN[:, 0] > 1).all()
    assert (cached_BN[:, 1:] == 0).all()
  sampling = draws.RankingGroups(sizes=(4, 2), depths=(4, 8))
  source = examples(candidates=lists(), by_list={"list_scores_BN": score})
  batch = next(batches(source, sampling=sampling))
  assert (batch.where_BN == [True] * 5 + [False]).all()
  assert (batch.list_scores_BN[:, -1] == 0).all()


@pytest.mark.parametrize(
  "sampling", [draws.RankingGroups((2,), (2,)), draws.Balanced(2)]
)
def test_a_draw_by_a_teacher_needs_its_scores(sampling):
  with pytest.raises(strict.ConfigError, match="needs scores of the lists"):
    batches(examples(candidates=lists()), sampling=sampling)


def compared():
  """Columns (0, 2) of each list, and (4, 1) of list 3; J is 2."""
  first = np.full((QUERIES, 2), -1, np.int32)
  second = first.copy()
  first[:, 0], second[:, 0] = 0, 2
  first[3, 1], second[3, 1] = 4, 1
  prefer = np.where(first >= 0, 0.1 * np.arange(QUERIES)[:, None] + 0.2, 0)
  return Compared(first, second, prefer.astype(np.float32))


def test_no_pair_is_lost_while_its_passages_fit():
  source = examples(candidates=lists(), compared=compared())
  iterator = batches(source, negatives=3)
  for _ in range(10):
    batch = next(iterator)
    for b, row in enumerate(batch.query_id_B):
      ids = batch.passage_id_BN[b]
      i, j = batch.first_BJ[b, 0], batch.second_BJ[b, 0]
      assert (ids[i], ids[j]) == (14, 16)
      assert batch.prefer_BJ[b, 0] == pytest.approx(0.2 + 0.1 * row)
      i, j = batch.first_BJ[b, 1], batch.second_BJ[b, 1]
      if row == 3:  # its positive, in column 4, and passage 15
        assert (i, ids[j]) == (0, 15)
      else:
        assert (i, j, batch.prefer_BJ[b, 1]) == (-1, -1, 0)


def test_a_pair_whose_passage_was_not_drawn_is_padding():
  batch = next(
    batches(examples(candidates=lists(), compared=compared()), negatives=1)
  )
  assert (batch.first_BJ[:, 0] == -1).all()
  assert (batch.second_BJ[:, 0] == -1).all()
  assert (batch.prefer_BJ[:, 0] == 0).all()


def test_dark_examples_follow_their_query():
  ids = np.full((QUERIES, 2, 3), -1, np.int32)
  ids[:, 0, 0] = 200 + np.arange(QUERIES)
  ids[1, 1, :2] = [7, 8]
  score = np.where((ids >= 0).any(-1), ids.max(-1) / 100, np.nan)
  source = examples(candidates=lists(), dark_examples=Dark(ids, score))
  batch = next(batches(source, batch_size=6))
  for b, row in enumerate(batch.query_id_B):
    assert batch.dark.ids[b, 0].tolist() == [101, 200 + row, 102, 0]
    assert batch.dark_scores_BA[b, 0] == pytest.approx((200 + row) / 100)
    assert batch.where_BA[b].tolist() == [True, row == 1]
    if row == 1:
      assert batch.dark.ids[b, 1].tolist() == [101, 7, 8, 102]
  assert np.isfinite(batch.dark_scores_BA).all()


@pytest.mark.parametrize(
  "grouping", [None, packing.Grouping(devices=1, splits=1)]
)
def test_a_batch_by_cluster_is_of_one_and_every_query_is_as_likely(grouping):
  cluster_Q = np.array([0, 1, 0, 0, 1, 0], np.int32)
  source = examples(passage=False, pair=False, negatives=0, embeddings=None)
  iterator = batches(
    source, batch_size=2, cluster_Q=cluster_Q, grouping=grouping
  )
  seen = np.zeros(QUERIES)
  for _ in range(600):
    rows = next(iterator).query_id_B
    assert len({int(cluster_Q[row]) for row in rows}) == 1
    assert len(set(rows.tolist())) == 2
    seen[rows] += 1
  np.testing.assert_allclose(seen / seen.sum(), 1 / QUERIES, atol=0.03)


def test_a_cluster_smaller_than_a_batch_is_seen_whole():
  cluster_Q = np.array([0, 1, 0, 0, 1, 0], np.int32)
  iterator = batches(examples(), batch_size=6, cluster_Q=cluster_Q)
  for _ in range(10):
    rows = next(iterator).query_id_B.tolist()
    assert set(rows) in ({1, 4}, {0, 2, 3, 5})


def test_batches_by_cluster_are_drawn_one_by_one():
  """Of 16 queries batches of 2 would make windows of two batches."""
  source = examples(
    queries=store_of([np.array([1], np.int32)] * 16),
    positives=[(q,) for q in range(16)],
    rows=np.arange(16),
    embeddings=None,
  )
  iterator = batches(source, batch_size=2, cluster_Q=np.arange(16) % 4)
  clusters = [next(iterator).query_id_B[0] % 4 for _ in range(40)]
  assert any(a != b for a, b in zip(clusters[::2], clusters[1::2], strict=True))


def test_batches_by_cluster_resume_where_they_were():
  cluster_Q = np.array([0, 1, 0, 0, 1, 0], np.int32)
  first = batches(examples(), batch_size=2, cluster_Q=cluster_Q)
  for _ in range(9):
    next(first)
  resumed = batches(examples(), batch_size=2, cluster_Q=cluster_Q, first=9)
  for _ in range(9):
    assert_same(next(first), next(resumed))


def of_many_lengths():
  """Texts of 0 to 8 tokens, in lists that have a column of no passage."""
  rng = np.random.default_rng(0)
  queries, passages = (
    store_of([rng.integers(110, 999, n) for n in rng.integers(0, 9, count)])
    for count in (QUERIES, PASSAGES)
  )
  ended = lists()
  ended.ids[:, 3] = -1
  return examples(
    queries=queries,
    passages=passages,
    candidates=ended,
    data=config.Data(query_length=8, passage_length=7),
    triple=True,
  )


def text_at(packed, group, place):
  """(ids, type) of a text in shared rows."""
  at = (group, *divmod(place, packed.start_GRS.shape[-1]))
  start, length = packed.start_GRS[at], packed.length_GRS[at]
  ids = packed.ids[group, at[1], start : start + length]
  return ids.tolist(), (
    np.arange(length) >= packed.first_length_GRS[at]
  ).tolist()


@pytest.mark.parametrize("local_rows", [None, np.arange(3, 6)])
def test_shared_rows_hold_the_texts_of_padded_ones(local_rows):
  """Queries may stand in another order, each with all that belongs to it."""
  source, grouping = of_many_lengths(), packing.Grouping(devices=2, splits=3)
  padded = batches(source, batch_size=6, negatives=4)
  packed = batches(
    source, batch_size=6, negatives=4, grouping=grouping, local_rows=local_rows
  )
  for _ in range(4):
    plain, shared = next(padded), next(packed)
    of_query = {q: b for b, q in enumerate(plain.query_id_B.tolist())}
    for group, query in enumerate(shared.query_id_B.tolist()):
      # Six groups for six queries.
      b = of_query[query]
      np.testing.assert_array_equal(
        shared.passage_id_BN[group], plain.passage_id_BN[b]
      )
      for field in ("query", "passage", "pair", "triple"):
        rows, texts = getattr(plain, field), getattr(shared, field)
        for at, place in np.ndenumerate(texts.place[group]):
          there = rows.segment[(b, *at)] == 1
          assert text_at(texts, group, place) == (
            rows.ids[(b, *at)][there].tolist(),
            (rows.type[(b, *at)][there] == 1).tolist(),
          )


def test_shared_rows_do_not_depend_on_where_a_run_goes_on():
  source, grouping = of_many_lengths(), packing.Grouping(devices=1, splits=2)
  iterator = batches(source, grouping=grouping)
  for _ in range(3):
    next(iterator)
  assert_same(next(iterator), next(batches(source, grouping=grouping, first=3)))


def test_batches_exchange_queries_however_they_are_laid_and_cut():
  """Of 24 queries three batches of two make a window."""
  rng = np.random.default_rng(0)
  count = 24
  source = examples(
    queries=store_of([rng.integers(110, 999, 2) for _ in range(count)]),
    passages=store_of(
      [rng.integers(110, 999, n) for n in rng.integers(1, 40, count)]
    ),
    positives=[(q,) for q in range(count)],
    rows=np.arange(count),
    data=config.Data(query_length=4, passage_length=42),
    pair=False,
    embeddings=None,
  )

  def queries(steps, **settings):
    iterator = batches(source, batch_size=2, negatives=0, **settings)
    return [next(iterator) for _ in range(steps)]

  plain = queries(12)
  order = np.array([batch.query_id_B for batch in plain])
  assert sorted(order.reshape(-1)) == list(range(count))
  length = np.array([len(source.passages[q]) for q in range(count)])
  for window in order.reshape(4, 3, 2):
    # Each of the three longest stands in a batch of its own.
    longest = np.argsort(-length[window.reshape(-1)], kind="stable")[:3]
    assert sorted(longest // 2) == [0, 1, 2]
  one = queries(12, grouping=packing.Grouping(devices=1, splits=1))
  two = queries(12, grouping=packing.Grouping(devices=2, splits=1))
  for batch, first, second in zip(plain, one, two, strict=True):
    queries_in = set(batch.query_id_B)
    assert queries_in == set(first.query_id_B) == set(second.query_id_B)
  for step in (1, 5):
    grouping = packing.Grouping(devices=2, splits=1)
    assert_same(two[step], queries(1, grouping=grouping, first=step)[0])
