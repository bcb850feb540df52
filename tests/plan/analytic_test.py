"""FLOPs of small models against sums done by hand."""

import dataclasses

import jax
import numpy as np
import pytest

from prod_jax.batch import Batch, Packed, Tokens
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.dual import DualEncoder
from prod_jax.models.late import LateInteraction
from prod_jax.models.transformer import TransformerConfig
from prod_jax.plan import analytic

BERT = TransformerConfig(
  vocab_size=50, width=4, depth=2, heads=2, mlp_width=8, max_positions=9
)
DUAL = DualEncoder(BERT, tied=False, pooling="cls", similarity="dot")
CROSS = CrossEncoder(BERT, pooling="cls")
LATE = LateInteraction(BERT, tied=True, projection=3)


def tokens(*shape):
  x = jax.ShapeDtypeStruct(shape, np.int32)
  return Tokens(x, x, x, x)


def batch(**texts):
  """B = 2 queries of 3 tokens, N = 3 passages of 5."""
  rest = dict.fromkeys(Batch._fields)
  texts = dict(query=tokens(2, 3), passage=tokens(2, 3, 5)) | texts
  return Batch(**(rest | texts))


# Of a token and layer, 4 D^2 + 2 D F = 4 * 16 + 2 * 32 = 128 multiply-adds;
# of a row and layer, 2 L^2 D more. In the last layer keys and values of each
# token are 2 D^2 = 32, and all else, 96, is of one token, with 2 L D more.
QUERIES = 2 * (2 * 3 * 128 + 2 * 2 * 3**2 * 4)  # 2 rows, the first layer
PASSAGES = 2 * (6 * 5 * 128 + 6 * 2 * 5**2 * 4)
ALL_TOKENS = 2 * (QUERIES + PASSAGES)
QUERIES += 2 * (2 * 3 * 32 + 2 * 96 + 2 * 2 * 3 * 4)
PASSAGES += 2 * (6 * 5 * 32 + 6 * 96 + 6 * 2 * 5 * 4)


def test_an_encoder_by_hand():
  assert analytic.encoder(BERT, rows=2, length=3, read=1) == QUERIES
  assert analytic.encoder(BERT, rows=6, length=5, read=1) == PASSAGES
  alike = [
    analytic.encoder(BERT, n, size, size) for n, size in ((2, 3), (6, 5))
  ]
  assert alike == [3648, 20160] and sum(alike) == ALL_TOKENS


def test_it_agrees_with_the_matmuls_of_a_jaxpr():
  """The count of XLA for a CPU, where elementwise work is a few percent."""
  transformer = TransformerConfig(
    vocab_size=50, width=64, depth=2, heads=2, mlp_width=256, max_positions=32
  )
  model = CrossEncoder(transformer, pooling="cls")
  params = jax.eval_shape(model.init, jax.random.key(0))
  forward = jax.jit(lambda p, t: model.score(p, t)[0])
  lowered = forward.lower(params, tokens(4, 32))
  counted = lowered.cost_analysis()["flops"]
  assert 1.0 <= counted / analytic.texts(model, [tokens(4, 32)]) < 1.05


@pytest.mark.parametrize(("in_batch", "pairs"), [(True, 12), (False, 6)])
def test_what_learns_takes_three_passes_and_what_is_frozen_one(in_batch, pairs):
  one = QUERIES + PASSAGES + 2 * pairs * 4
  found = analytic.step(batch(), [DUAL], [DUAL], in_batch=in_batch)
  assert found == 4 * one


def test_a_cross_encoder_has_a_head_and_reads_pairs_only():
  pairs = 2 * (6 * 8 * 128 + 6 * 2 * 8**2 * 4)
  pairs += 2 * (6 * 8 * 32 + 6 * 96 + 6 * 2 * 8 * 4)
  found = analytic.step(batch(pair=tokens(2, 3, 8)), [CROSS], [], in_batch=True)
  assert found == 3 * (pairs + 2 * 6 * 4)


def test_a_late_model_projects_tokens_and_compares_them():
  projected = 2 * (2 * 3 + 6 * 5) * 4 * 3
  compared = 2 * 6 * 3 * 5 * 3
  found = analytic.step(batch(), [], [LATE], in_batch=False)
  assert found == ALL_TOKENS + projected + compared


def test_texts_that_share_rows_have_a_token_each_in_the_last_layer():
  one = jax.ShapeDtypeStruct((2, 3, 7), np.int32)  # G, R, S
  packed = Packed(jax.ShapeDtypeStruct((2, 3, 9), np.int32), *[one] * 3, one)
  assert analytic.texts(DUAL, [packed]) == analytic.encoder(BERT, 6, 9, 7)
  mean = dataclasses.replace(DUAL, pooling="mean")
  assert analytic.texts(mean, [packed]) == analytic.encoder(BERT, 6, 9, 9)


def test_dark_passages_are_read_too():
  more = analytic.step(batch(dark=tokens(2, 3, 5)), [], [DUAL], in_batch=False)
  less = analytic.step(batch(), [], [DUAL], in_batch=False)
  assert more - less == PASSAGES
