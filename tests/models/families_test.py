"""Every family: numbers of torch, and all that holds for BERT."""

import dataclasses
import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prod_jax import config as run_config
from prod_jax import sharding
from prod_jax.batch import Packed
from prod_jax.models import attention, hf, positions, texts, transformer
from prod_jax.models.cross import CrossEncoder, Head
from prod_jax.plan import analytic
from tests.models import tiny

GOLDEN = json.loads(
  pathlib.Path(__file__).with_name("golden_families.json").read_text()
)
each = pytest.mark.parametrize("name", tiny.FAMILIES)
# No other one takes a path through the code that none of these takes; --long
# takes all.
DISTINCT = ("bert", "mpnet", "electra", "modernbert")
distinct = pytest.mark.parametrize(
  "name",
  [
    pytest.param(name, marks=() if name in DISTINCT else pytest.mark.long)
    for name in tiny.FAMILIES
  ],
)


def model_of(name, **fields):
  config = dataclasses.replace(tiny.FAMILIES[name], **fields)
  return CrossEncoder(config, tiny.HEADS[name].pooling, tiny.HEADS[name])


@functools.partial(jax.jit, static_argnums=0)
def run(model, params, tokens):
  """Hidden states and scores."""
  hidden, _ = transformer.encode(
    model.transformer, params["encoder"], tokens, None
  )
  return hidden, model.score(params, tokens)[0]


@each
def test_golden(name):
  tokens = tiny.tokens(12, 5)
  hidden, score = run(model_of(name), tiny.params_of(name), tokens)
  found = np.asarray(hidden)[tokens.segment > 0][:, :4]
  np.testing.assert_allclose(found, GOLDEN[name]["states"], atol=1e-5)
  np.testing.assert_allclose(score, GOLDEN[name]["score"], atol=1e-5)


@distinct
def test_texts_that_share_a_row_are_as_apart(name):
  """Even where the second begins in the middle of a row."""
  model, params = model_of(name), tiny.params_of(name)
  apart = tiny.tokens(5, 6)
  ids = np.zeros((1, 1, 12), np.int32)
  ids[0, 0, :11] = np.concatenate([apart.ids[0, :5], apart.ids[1, :6]])
  packed = Packed(
    ids=ids,
    start_GRS=np.int32([[[0, 5]]]),
    length_GRS=np.int32([[[5, 6]]]),
    first_length_GRS=np.int32([[[2, 3]]]),
    place=np.int32([0, 1]),
  )
  expected, scores = run(model, params, apart)
  found, packed_scores = (
    run(model, params, texts.tokens_of(packed))[0],
    (model.score(params, packed)[0]),
  )
  np.testing.assert_allclose(found[0, 0, :5], expected[0, :5], atol=1e-5)
  np.testing.assert_allclose(found[0, 0, 5:11], expected[1, :6], atol=1e-5)
  np.testing.assert_allclose(packed_scores, scores, atol=1e-5)


@each
def test_gradients_are_finite_and_reach_every_parameter(name):
  model, params = model_of(name, remat="matmuls"), tiny.params_of(name)
  score = jax.jit(
    jax.grad(lambda p: jnp.square(model.score(p, tiny.tokens(12, 0))[0]).sum())
  )
  for path, grad in jax.tree.leaves_with_path(score(params)):
    assert np.isfinite(grad).all(), path
    # A softmax does not see what is added to all of its logits.
    if path[-2].key != "key" or path[-1].key != "bias":
      assert np.abs(grad).max() > 1e-9, path


@distinct
def test_remat_and_bfloat16_are_near(name):
  params, tokens = tiny.params_of(name), tiny.tokens(12, 5)
  exact = run(model_of(name), params, tokens)
  again = run(model_of(name, remat="layers"), params, tokens)
  np.testing.assert_allclose(again[0], exact[0], atol=1e-6)
  near = run(model_of(name, dtype="bfloat16"), params, tokens)
  assert near[0].dtype == jnp.bfloat16
  error = np.asarray(near[0], np.float32) - np.asarray(exact[0])
  assert np.abs(error)[tokens.segment > 0].mean() < 0.03


@distinct
def test_eight_devices_give_what_one_gives(name):
  model, params = model_of(name), tiny.params_of(name)
  tokens = tiny.tokens(12, 5, 7, 9)
  expected = run(model, params, tokens)
  mesh = sharding.make_mesh(run_config.Mesh(data=2, fsdp=2, tensor=2))
  placed = sharding.place(params, sharding.shardings(params, mesh))
  with jax.set_mesh(mesh):
    found = jax.jit(lambda p, t: run(model, sharding.for_compute(p), t))(
      placed, sharding.put_batch(tokens, mesh)
    )
  for one, other in zip(expected, found, strict=True):
    np.testing.assert_allclose(one, other, atol=1e-5)


@each
def test_a_folder_holds_all_of_it(name, tmp_path):
  config, head, params = (
    tiny.FAMILIES[name],
    tiny.HEADS[name],
    tiny.params_of(name),
  )
  hf.save(tmp_path, params["encoder"], config, head=(head, params["head"]))
  assert hf.read_config(tmp_path) == config
  assert hf.read_head(tmp_path) == head
  found = {
    "encoder": hf.load(tmp_path, config),
    "head": hf.load_head(tmp_path, head),
  }
  jax.tree.map(np.testing.assert_array_equal, found, params)
  linear = {"kernel": np.ones((16, 1), np.float32), "bias": np.zeros(1, "f4")}
  plain = tmp_path / "plain"
  hf.save(plain, params["encoder"], config, head=(Head("mean"), linear))
  assert hf.read_head(plain) == Head("mean")
  found = hf.load_head(plain, Head("mean"))
  jax.tree.map(np.testing.assert_array_equal, found, linear)


@each
def test_layers_are_cut(name, tmp_path):
  config, params = tiny.FAMILIES[name], tiny.params_of(name)["encoder"]
  hf.save(tmp_path, params, config)
  cut = config.cut((0, 2))
  found = hf.load(tmp_path, cut, layers=(0, 2))
  jax.tree.map(
    np.testing.assert_array_equal, found["layer_1"], params["layer_2"]
  )
  hf.save(tmp_path / "cut", found, cut, dtype="float16")
  assert hf.read_config(tmp_path / "cut") == cut
  again = hf.load(tmp_path / "cut", cut)
  assert {x.dtype for x in jax.tree.leaves(again)} == {np.dtype("float32")}
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, atol=1e-3), again, found
  )


def test_a_pre_norm_encoder_keeps_its_first_layer(tmp_path):
  config = tiny.FAMILIES["modernbert"]
  assert config.cut((0, 2, 3)).local_layers == (1,)
  for layers in ((1, 2), (2, 0), (0, 0)):
    with pytest.raises(ValueError, match=r"layer 0 of modernbert .* keep it"):
      config.cut(layers)
  hf.save(tmp_path, tiny.params_of("modernbert")["encoder"], config)
  with pytest.raises(ValueError, match="keep it, as the first one"):
    hf.load(tmp_path, config.cut((0,)), layers=(2,))


def test_a_local_layer_sees_half_a_window_on_each_side():
  config = tiny.FAMILIES["modernbert"]
  everywhere, near = positions.masks(config, tiny.tokens(8, 3))
  assert everywhere[0, 0, 4].tolist() == [True] * 8 + [False] * 4
  assert np.flatnonzero(near[0, 0, 4]).tolist() == [2, 3, 4, 5, 6]
  assert np.flatnonzero(near[1, 0, 1]).tolist() == [0, 1, 2]


def test_buckets_of_distances():
  for distance, bucket in GOLDEN["buckets"].items():
    assert positions.bucket(np.array([[int(distance)]]), 32)[0, 0] == bucket


def test_positions_count_from_behind_the_offset():
  config = tiny.FAMILIES["camembert"]
  assert config.usable_positions == 16
  params = tiny.params_of("camembert")["encoder"]
  tokens = tiny.tokens(12)
  tokens.position[0, 11] = 16
  hidden, _ = transformer.encode(config, params, tokens, None)
  assert np.isnan(hidden).any()


def test_a_bias_takes_the_plain_path_on_a_tpu(monkeypatch, caplog):
  """And a window does not: the kernel knows masks."""
  taken = []
  monkeypatch.setattr(attention, "on_tpu", lambda *_: True)
  monkeypatch.setattr(
    attention,
    "attend",
    lambda q, *_: taken.append(1) or q.swapaxes(1, 2).reshape(2, 12, 16),
  )

  def trace(name):
    config = tiny.FAMILIES[name]
    params = tiny.params_of(name)["encoder"]
    jax.eval_shape(
      lambda p: transformer.encode(config, p, tiny.tokens(12, 5), None), params
    )
    return len(taken)

  with caplog.at_level("INFO", logger="absl"):
    assert trace("mpnet") == 0
  assert "takes the plain path, not the kernel" in caplog.text
  assert trace("modernbert") > 0


def test_flops_of_a_gate_and_of_narrow_tables():
  electra = tiny.FAMILIES["electra"]
  plain = dataclasses.replace(electra, embedding_width=0)
  rows = (2, 12, 12)
  assert analytic.encoder(electra, *rows) - analytic.encoder(plain, *rows) == (
    2 * 12 * 2 * 8 * 16
  )
  gated = tiny.FAMILIES["modernbert"]
  plain = dataclasses.replace(gated, gated=False)
  assert analytic.encoder(gated, *rows) - analytic.encoder(plain, *rows) == (
    4 * 2 * 12 * 2 * 16 * 16
  )


def test_a_head_is_checked():
  config = tiny.FAMILIES["bert"]
  with pytest.raises(ValueError, match="3 labels; it takes 1 or 2"):
    Head("cls", labels=3)
  with pytest.raises(ValueError, match="hidden is 'silu'; known"):
    Head("cls", hidden="silu")
  with pytest.raises(ValueError, match="behind a hidden layer"):
    Head("cls", norm=True)
  with pytest.raises(ValueError, match="pooling is 'mean', and that of the"):
    CrossEncoder(config, "mean", Head("cls"))
  assert CrossEncoder(config, "mean").head == Head("mean")


def test_a_head_that_a_family_cannot_say_is_not_saved(tmp_path):
  params = tiny.params_of("bert")
  odd = dataclasses.replace(tiny.HEADS["bert"], hidden="relu")
  with pytest.raises(ValueError, match="a head of bert is"):
    hf.save(
      tmp_path / "x",
      params["encoder"],
      tiny.FAMILIES["bert"],
      head=(odd, params["head"]),
    )
  assert not (tmp_path / "x").exists()
  rotary = dataclasses.replace(tiny.FAMILIES["bert"], rotary_theta=1e4)
  with pytest.raises(ValueError, match="an encoder of bert is"):
    hf.save(tmp_path / "x", tiny.formula(transformer.shapes(rotary)), rotary)
