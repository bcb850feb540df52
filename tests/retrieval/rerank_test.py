"""Scores of lists against each text scored by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax import config, sharding
from prod_jax.batches import rows
from prod_jax.batches.special import Special
from prod_jax.batches.store import store_of
from prod_jax.losses import max_sim
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.late import LateInteraction
from prod_jax.models.transformer import TransformerConfig
from prod_jax.retrieval import forward, rerank
from prod_jax.retrieval.forward import FrozenModel

SPECIAL = Special((1,), (2,), (2,), pad=0, mask=3)
LENGTHS = config.Data(query_length=5, passage_length=9)
BERT = TransformerConfig(
  vocab_size=60,
  width=8,
  depth=1,
  heads=2,
  mlp_width=8,
  max_positions=21,
)
CROSS = CrossEncoder(transformer=BERT, pooling="cls")
LATE = LateInteraction(transformer=BERT, tied=True, projection=4, mask_id=3)


def store(seed, count, longest):
  rng = np.random.default_rng(seed)
  sizes = [1, longest, *rng.integers(1, longest + 1, count - 2)]
  return store_of([rng.integers(4, 60, n).astype(np.int32) for n in sizes])


QUERIES, PASSAGES = store(0, 4, 6), store(1, 12, 14)
IDS_QC = np.array([[0, 1, 2, -1], [3, 4, 5, 6], [7, 8, -1, -1]])
ROWS = np.array([1, 0, 3])


def frozen(model, params):
  copies = sharding.copies(params)
  return FrozenModel(model, copies, SPECIAL, LENGTHS, batch_tokens=64)


def score_lists(model, params):
  return rerank.score_lists(
    frozen(model, params), QUERIES, PASSAGES, ROWS, IDS_QC
  )


def random_params(model, seed=0):
  """Weights large enough that texts differ."""
  shapes = jax.eval_shape(model.init, jax.random.key(0))
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda x: rng.normal(0, 0.4, x.shape).astype(np.float32), shapes
  )


def test_a_cross_encoder_scores_each_pair_as_it_was_trained_to():
  params = random_params(CROSS)
  found = score_lists(CROSS, params)
  assert np.isnan(found[IDS_QC < 0]).all()
  line, column = np.nonzero(IDS_QC >= 0)
  longest = rows.pair_length(LENGTHS)
  pairs = rows.pair(
    QUERIES.slices(ROWS[line]),
    PASSAGES.slices(IDS_QC[line, column]),
    LENGTHS.query_length,
    longest,
    SPECIAL,
  )
  pairs = rows.padded(pairs, longest)
  wanted, _ = jax.jit(lambda x: CROSS.score(params, x))(pairs)
  np.testing.assert_allclose(found[line, column], wanted, rtol=1e-4, atol=1e-5)
  assert np.std(wanted) > 0.05


def test_late_interaction_scores_a_list_as_in_a_step():
  params = random_params(LATE)
  found = score_lists(LATE, params)
  assert np.isnan(found[IDS_QC < 0]).all()
  query = rows.single(QUERIES.slices(ROWS), 5, SPECIAL)
  passage = rows.single(PASSAGES.slices(np.arange(len(PASSAGES))), 9, SPECIAL)
  query = rows.padded(query, 5)
  passage = rows.padded(passage, 9)

  @jax.jit
  def all_scores(query, passage):
    q, _ = LATE.embed(params, query, "query")
    p, _ = LATE.embed(params, passage, "passage")
    return max_sim.in_batch_scores(*q, *p)

  wanted = np.array(all_scores(query, passage))
  line, column = np.nonzero(IDS_QC >= 0)
  np.testing.assert_allclose(
    found[line, column], wanted[line, IDS_QC[line, column]], rtol=1e-4
  )


def test_a_pairwise_model_reads_both_passages_in_the_order_asked():
  params = random_params(CROSS)
  first, second = np.array([0, 1, 4]), np.array([1, 2, 1])

  def ask(first, second):
    return rerank.score_texts(
      frozen(CROSS, params),
      QUERIES.slices(ROWS),
      [PASSAGES.slices(first), PASSAGES.slices(second)],
    )

  both = (PASSAGES.slices(x) for x in (first, second))
  triples = rows.triple(QUERIES.slices(ROWS), *both, (5, 9), SPECIAL)
  triples = rows.padded(triples, rows.triple_length(LENGTHS))
  wanted, _ = jax.jit(lambda x: CROSS.score(params, x))(
    jax.tree.map(jnp.asarray, triples)
  )
  np.testing.assert_allclose(ask(first, second), wanted, rtol=1e-4, atol=1e-5)
  assert np.abs(ask(first, second) - ask(second, first)).max() > 1e-2


def test_equal_scores_stay_in_order_and_padding_comes_last():
  ids = np.array([[4, 7, 2, 9], [-1, 3, -1, 5]])
  scores = np.array([[1, 2, 1, 2], [np.nan, -8, -np.inf, -4]], np.float32)
  ordered, by = rerank.in_order(ids, scores)
  assert ordered.tolist() == [[7, 9, 4, 2], [5, 3, -1, -1]]
  np.testing.assert_array_equal(by[0], [2, 2, 1, 1])
  np.testing.assert_array_equal(by[1][:2], [-4, -8])


def test_what_is_not_finite_is_no_score_and_says_of_whom():
  """A padded place is NaN, and such a score would pass for one."""
  params = random_params(CROSS)
  params["encoder"]["word"]["embedding"][PASSAGES[5][0]] = np.nan
  with pytest.raises(forward.NonFiniteOutputs) as error:
    score_lists(CROSS, params)
  of = error.value.of
  assert (1, 5) not in zip(*of.values(), strict=True)
  assert (0, 5) in zip(of["query"], of["passage"], strict=True)
  assert str(error.value).startswith("the model makes NaN or infinity of ")
