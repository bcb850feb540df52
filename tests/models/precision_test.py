"""bfloat16 beside float32: vectors and steps, within what the page states."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax.methods import contrastive, prod, scoring
from prod_jax.methods.scoring import Sources
from tests.commands import REPO
from tests.methods import batches

PAGE = REPO / "docs" / "explanation" / "edges.md"
BOUNDS = {
  "an embedding, 1 - cosine": 1e-3,
  "a score, as a part of the largest": 0.03,
  "the loss of a step, as a part of it": 0.02,
  "the gradient of a step, 1 - cosine": 0.01,
}
TAUGHT = prod.Settings(in_batch=False, temperature=2.0, hard=0.1, soft=0.9)


def computed(dtype):
  """Embeddings and scores, and losses with their gradients, flat."""
  transformer = dataclasses.replace(batches.BERT, depth=2, dtype=dtype)
  model = batches.no_dropout(
    dataclasses.replace(batches.DUAL, transformer=transformer)
  )
  params = model.init(jax.random.key(3))
  # Larger than a model begins with, so that each layer does something.
  params = jax.tree.map(lambda x: 5 * x if x.ndim > 1 else x, params)
  data = batches.batch(list_scores_BN=batches.scores(5, batches.B, batches.N))
  losses = (
    contrastive.make(contrastive.Settings(), model, Sources()),
    prod.make(TAUGHT, model, Sources(teacher="scores")),
  )

  def all_of_it(params, data):
    query, passage, _ = scoring.embed(model, params, data)
    made = [
      jax.value_and_grad(loss, has_aux=True)(params, {}, data, batches.rng())
      for loss in losses
    ]
    return {
      "embeddings": jnp.concatenate([query, passage[:, 0]]),
      "scores": scoring.compare(query, passage, in_batch=True),
      "losses": [value for (value, _), _ in made],
      "gradients": [
        jnp.concatenate([x.ravel() for x in jax.tree.leaves(gradient)])
        for _, gradient in made
      ],
    }

  return jax.device_get(jax.jit(all_of_it)(params, data))


def cosines(one, other):
  return np.sum(one * other, axis=-1) / (
    np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
  )


@pytest.fixture(scope="module")
def apart():
  """How far the one is from the other."""
  whole, half = computed("float32"), computed("bfloat16")
  assert all(x.dtype == np.float32 for x in jax.tree.leaves(half))
  scores = np.abs(half["scores"] - whole["scores"])
  losses = np.array(whole["losses"])
  return {
    "an embedding, 1 - cosine": 1
    - cosines(half["embeddings"], whole["embeddings"]).min(),
    "a score, as a part of the largest": scores.max()
    / np.abs(whole["scores"]).max(),
    "the loss of a step, as a part of it": (
      np.abs(half["losses"] - losses) / losses
    ).max(),
    "the gradient of a step, 1 - cosine": 1
    - min(map(cosines, half["gradients"], whole["gradients"])),
  }


@pytest.mark.parametrize("what", BOUNDS)
def test_bfloat16_is_as_near_to_float32_as_the_page_says(apart, what):
  assert 0 < apart[what] < BOUNDS[what]


def test_the_page_states_these_bounds():
  page = PAGE.read_text()
  for what, bound in BOUNDS.items():
    assert f"| {what} | {bound:g} |\n" in page
