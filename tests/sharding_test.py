"""Meshes and the rule table."""

from unittest import mock

import jax
import numpy as np
import pytest

from prod_jax import config, sharding, strict
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.late import LateInteraction
from prod_jax.models.transformer import TransformerConfig

BERT = TransformerConfig(
  vocab_size=32, width=16, depth=1, heads=4, mlp_width=32, max_positions=8
)


def shapes():
  """A step's tree of a student and its teacher, with all that can be in it."""
  models = {
    "student": LateInteraction(transformer=BERT, tied=False, projection=8),
    "teacher": CrossEncoder(transformer=BERT, pooling="cls"),
  }
  return {
    name: jax.eval_shape(model.init, jax.random.key(0))
    for name, model in models.items()
  }


def test_a_mesh_takes_all_devices():
  mesh = sharding.make_mesh(config.Mesh(data=-1, fsdp=2, tensor=2))
  assert dict(mesh.shape) == {"data": 2, "fsdp": 2, "tensor": 2}
  assert sharding.batch_devices(mesh) == 4


@pytest.mark.parametrize(
  "shape",
  [
    config.Mesh(data=3),
    config.Mesh(data=-1, fsdp=-1),
    config.Mesh(data=2, fsdp=1),
    config.Mesh(data=0),
    config.Mesh(tensor=16),
  ],
)
def test_a_mesh_that_does_not_fit_is_an_error(shape):
  with pytest.raises(strict.ConfigError, match="8"):
    sharding.make_mesh(shape)


def chip(index: int, slice_index: int) -> jax.Device:
  """Stands for a device of a multislice."""
  found = mock.Mock(spec=jax.Device)
  found.configure_mock(id=index, slice_index=slice_index, platform="cpu")
  return found


def test_data_goes_over_slices_and_the_other_axes_stay_within():
  # Two slices of eight, told in any order.
  chips = [chip(i, i % 2) for i in range(16)]
  mesh = sharding.make_mesh(config.Mesh(data=-1, fsdp=2, tensor=2), chips)
  assert dict(mesh.shape) == {"data": 4, "fsdp": 2, "tensor": 2}
  slices = [{c.slice_index for c in row.flat} for row in mesh.devices]
  assert slices == [{0}, {0}, {1}, {1}]
  with pytest.raises(strict.ConfigError, match="data=1, not a multiple of"):
    sharding.make_mesh(config.Mesh(data=1, fsdp=-1), chips)


def test_rules_place_the_parameters_of_every_kind_of_model():
  mesh = sharding.make_mesh(config.Mesh(fsdp=2, tensor=2))
  placed = sharding.shardings(shapes(), mesh)
  kernel = placed["teacher"]["encoder"]["layer_0"]["mlp"]["up"]["kernel"]
  assert kernel.shard_shape((16, 32)) == (8, 16)


def test_what_no_rule_places_is_an_error():
  mesh = sharding.make_mesh(config.Mesh())
  with pytest.raises(strict.ConfigError, match=r"no rule .* adapter/kernel"):
    sharding.shardings({"adapter": {"kernel": np.zeros((2, 2))}}, mesh)


def test_a_dimension_that_does_not_divide_is_named():
  mesh = sharding.make_mesh(config.Mesh(tensor=8))
  odd = {"encoder": {"mlp": {"up": {"bias": np.zeros(12)}}}}
  with pytest.raises(
    strict.ConfigError, match=r"mlp/up/bias .*12 does not divide"
  ):
    sharding.shardings(odd, mesh)


def test_a_rule_that_matches_nothing_is_an_error():
  mesh = sharding.make_mesh(config.Mesh())
  with pytest.raises(strict.ConfigError, match=r"RULES\['head'\].*: bias;"):
    sharding.shardings({"head": {"kernel": np.zeros((2, 1))}}, mesh)


def test_a_tower_called_query_is_not_taken_for_an_attention_query():
  mesh = sharding.make_mesh(config.Mesh(tensor=2, fsdp=2))
  placed = sharding.shardings(shapes()["student"], mesh)
  kernel = placed["query"]["layer_0"]["attention"]["query"]["kernel"]
  table = placed["query"]["word"]["embedding"]
  assert kernel.shard_shape((16, 16)) == (8, 8)
  assert table.shard_shape((32, 16)) == (32, 8)


@pytest.mark.parametrize("shape", [{}, {"fsdp": 2, "tensor": 2}])
def test_a_batch_and_a_tree_come_to_the_devices_and_back(shape):
  mesh = sharding.make_mesh(config.Mesh(**shape))
  batch = {"x": np.arange(48.0).reshape(16, 3), "y": np.arange(16)}
  assert sharding.batch_rows(mesh, 16).tolist() == list(range(16))
  put = sharding.put_batch(batch, mesh)
  back = sharding.gathered(put, mesh)
  for key, value in batch.items():
    np.testing.assert_array_equal(np.asarray(put[key]), value)
    np.testing.assert_array_equal(back[key], value)
    parts = sharding.batch_devices(mesh)
    assert put[key].addressable_shards[0].data.shape[0] == 16 // parts


def test_a_step_computes_with_parameters_whole_along_fsdp():
  mesh = sharding.make_mesh(config.Mesh(fsdp=2, tensor=2))
  params = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes())
  placed = sharding.place(params, sharding.shardings(params, mesh))
  with jax.set_mesh(mesh):
    whole = jax.jit(sharding.for_compute)(placed)
  kernel = whole["teacher"]["encoder"]["layer_0"]["mlp"]["up"]["kernel"]
  # Tensor parallelism stays.
  assert kernel.sharding.shard_shape((16, 32)) == (16, 16)
