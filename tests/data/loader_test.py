"""Batches: what is in them, and that batch s is a function of seed and s."""

import dataclasses

import numpy as np
import pytest

from prod_jax import config, strict
from prod_jax.data import loader
from prod_jax.data.negatives import Candidates
from prod_jax.data.tokens import Special

SPECIAL = Special(cls=101, sep=102, pad=0, mask=103)
QUERIES, PASSAGES, COLUMNS = 6, 20, 4


def examples(**changes):
  rng = np.random.default_rng(0)
  fields = dict(
    queries=[np.array([q + 1, 7], np.int32) for q in range(QUERIES)],
    passages=[np.array([p + 50], np.int32) for p in range(PASSAGES)],
    special=SPECIAL,
    positives=[(q, q + 10) if q % 2 else (q,) for q in range(QUERIES)],
    rows=np.arange(QUERIES),
    lengths=config.Data(query_length=5, passage_length=4),
    passage=True,
    pair=True,
    teacher_query=rng.normal(size=(QUERIES, 2)).astype(np.float32),
    teacher_passage=rng.normal(size=(PASSAGES, 2)).astype(np.float32),
  )
  return loader.Examples(**{**fields, **changes})


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


def batches(source, seed=3, sampling="random", batch_size=4, negatives=2):
  return loader.batches(
    source,
    batch_size=batch_size,
    negatives=negatives,
    sampling=sampling,
    seed=seed,
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
  source = examples(candidates=lists(), teacher=lists().score * 2)
  batch = next(batches(source))
  for b, row in enumerate(batch.query_id_B):
    assert batch.query.ids[b].tolist() == [101, row + 1, 7, 102, 0]
    assert batch.passage_id_BN[b, 0] == row
    assert set(batch.passage_id_BN[b, 1:]) < {14, 15, 16, 17}
    for n, passage in enumerate(batch.passage_id_BN[b]):
      assert batch.passage.ids[b, n].tolist() == [101, passage + 50, 102, 0]
      pair = [101, row + 1, 7, 102, passage + 50, 102]
      assert batch.pair.ids[b, n, :6].tolist() == pair
      assert batch.teacher_BN[b, n] == pytest.approx(passage / 5)
      np.testing.assert_array_equal(
        batch.teacher_passage_BND[b, n], source.teacher_passage[passage]
      )
    np.testing.assert_array_equal(
      batch.teacher_query_BD[b], source.teacher_query[row]
    )
  assert batch.where_BN.all()
  assert batch.anchor_BN is None


def test_positives_are_padded_to_the_longest():
  batch = next(batches(examples(), batch_size=6))
  found = dict(zip(batch.query_id_B, batch.positive_id_BM, strict=True))
  assert found[2].tolist() == [2, -1]
  assert found[3].tolist() == [3, 13]


def test_drawn_negatives_are_never_positives():
  source = examples(passages=examples().passages[:12])
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
  state = first.get_state()
  resumed = batches(source)
  resumed.set_state(state)
  assert_same(next(first), next(resumed))
  other = next(batches(source, seed=4))
  assert (other.query_id_B != seen[0].query_id_B).any()


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
