"""FLOPs of small models against sums done by hand."""

import jax
import numpy as np
import pytest

from prod_jax.batch import Batch, Tokens
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
# of a row and layer, 2 L^2 D more.
QUERIES = 2 * 2 * (2 * 3 * 128 + 2 * 2 * 3**2 * 4)  # 2 layers, 2 rows
PASSAGES = 2 * 2 * (6 * 5 * 128 + 6 * 2 * 5**2 * 4)


def test_an_encoder_by_hand():
  assert analytic.encoder(BERT, rows=2, length=3) == QUERIES == 3648
  assert analytic.encoder(BERT, rows=6, length=5) == PASSAGES == 20160


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
  assert 1.0 <= counted / analytic.texts(model, [(4, 32)]) < 1.05


@pytest.mark.parametrize(("in_batch", "pairs"), [(True, 12), (False, 6)])
def test_what_learns_takes_three_passes_and_what_is_frozen_one(in_batch, pairs):
  one = QUERIES + PASSAGES + 2 * pairs * 4
  found = analytic.step(batch(), [DUAL], [DUAL], in_batch=in_batch)
  assert found == 4 * one


def test_a_cross_encoder_has_a_head_and_reads_pairs_only():
  pairs = 2 * 2 * (6 * 8 * 128 + 6 * 2 * 8**2 * 4)
  found = analytic.step(batch(pair=tokens(2, 3, 8)), [CROSS], [], in_batch=True)
  assert found == 3 * (pairs + 2 * 6 * 4)


def test_a_late_model_projects_tokens_and_compares_them():
  projected = 2 * (2 * 3 + 6 * 5) * 4 * 3
  compared = 2 * 6 * 3 * 5 * 3
  found = analytic.step(batch(), [], [LATE], in_batch=False)
  assert found == QUERIES + PASSAGES + projected + compared


def test_dark_passages_are_read_too():
  more = analytic.step(batch(dark=tokens(2, 3, 5)), [], [DUAL], in_batch=False)
  less = analytic.step(batch(), [], [DUAL], in_batch=False)
  assert more - less == PASSAGES
