"""The names in a profile: a model's layers, losses, terms of a method."""

import re

import jax
import jax.numpy as jnp
import optax
import pytest

from prod_jax import config, sharding
from prod_jax.train.state import init_state
from prod_jax.train.step import jit_step, make_step
from tests.methods import golden_test

NAMES = (
  "jvp(query)/Transformer/layer_0/",
  "jvp(passage)/Transformer/layer_0/",
  "transpose(jvp(passage))/Transformer/layer_0/",
  "jvp(query)/jit(_vector)",  # in which the pooling is
  "jvp(teacher)/cross/",
  "jvp(anchor)/passage/",
  "jvp(scores)/",
  "jvp(ce)/cross_entropy/",
  "jvp(kd)/kl/",
  "transpose(jvp(lwf))/kl/",
  "grad_norm/",
  "optimizer/",
)


@pytest.mark.long
def test_an_operation_is_named_after_its_part():
  """In a step of PROD with a frozen cross-encoder."""
  case = golden_test.CASES["prod"]
  params = case.student.init(jax.random.key(0))
  teacher = case.teacher.init(jax.random.key(0))
  frozen, optimizer = {"anchor": params, "teacher": teacher}, optax.sgd(0.1)
  sources = case.sources._replace(model=case.teacher)
  loss_fn = case.method.make(case.settings, case.student, sources)
  mesh = sharding.make_mesh(config.Mesh(), jax.devices()[:1])
  state = init_state(params, optimizer)
  step = make_step(loss_fn, optimizer, seed=1)
  batch = jax.tree.map(jnp.asarray, case.data)
  with jax.set_mesh(mesh):
    lowered = jit_step(step, state, frozen, mesh).lower(state, frozen, batch)
  text = lowered.as_text(debug_info=True)
  found = set(re.findall(r'loc\("jit\(step\)/([^"]*)"', text))
  missing = [
    name for name in NAMES if not any(x.startswith(name) for x in found)
  ]
  assert not missing, sorted(found)
