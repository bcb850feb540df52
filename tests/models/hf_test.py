"""Weights in and out, with torch as the judge where it is installed."""

import dataclasses
import json
import sys

import jax
import ml_dtypes
import numpy as np
import pytest
import safetensors
from safetensors.numpy import load_file, save_file

from prod_jax import storage
from prod_jax.models import hf
from prod_jax.models.cross import Head
from prod_jax.models.families import bert
from prod_jax.models.weights import WeightsError

REASON = "parity is judged by torch, which is not installed"


@pytest.fixture
def folder(tmp_path, params, config):
  hf.save(tmp_path, params, config)
  return tmp_path


def rewrite(folder, change):
  """Applies `change` to the dict of stored tensors."""
  tensors = load_file(folder / hf.WEIGHTS)
  save_file(change(tensors), folder / hf.WEIGHTS)


def assert_same(found, expected):
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def torch_model(kind, config, **fields):
  torch = pytest.importorskip("torch", reason=REASON)
  import transformers

  torch.manual_seed(0)
  settings = getattr(transformers, f"{kind}Config")(
    **{
      theirs: getattr(config, our) for our, (theirs, _) in bert.FIELDS.items()
    },
    initializer_range=0.3,
    **fields,
  )
  model = getattr(transformers, f"{kind}Model")(settings).eval()
  with torch.no_grad():  # LayerNorm starts as 1 and 0, which tells nothing.
    for name, x in model.named_parameters():
      if "LayerNorm" in name:
        x.add_(0.3 * torch.randn_like(x))
  return model


def torch_layers(model, tokens):
  """Hidden states behind each layer, of the tokens that are no padding."""
  import torch

  ids, segment, kind = (
    torch.tensor(x) for x in (tokens.ids, tokens.segment, tokens.type)
  )
  with torch.no_grad():
    out = model(
      ids,
      attention_mask=segment,
      token_type_ids=kind,
      output_hidden_states=True,
    )
  return [x.numpy()[tokens.segment > 0] for x in out.hidden_states[1:]]


@pytest.mark.parametrize(
  ("kind", "fields"),
  [("Bert", {}), ("Ernie", dict(use_task_id=True, task_type_vocab_size=3))],
)
def test_parity_with_torch(kind, fields, tmp_path, config, rows, encode):
  tokens = rows(4, 6)
  model = torch_model(kind, config, **fields)
  model.save_pretrained(tmp_path)
  read = hf.read_config(tmp_path)
  assert read == dataclasses.replace(config, task_row=kind == "Ernie")
  _, out = encode(read, hf.load(tmp_path, read), tokens, None)
  expected = torch_layers(model, tokens)
  for found, layer in zip(out["layers"], expected, strict=True):
    found = np.asarray(found)[tokens.segment > 0]
    np.testing.assert_allclose(found, layer, atol=1e-4)


@pytest.mark.parametrize("said", [False, None])
def test_a_task_that_is_not_used_is_not_read(
  said, tmp_path, config, rows, encode
):
  """Though its tensor is there; False is what transformers takes."""
  fields = dict(use_task_id=True, task_type_vocab_size=3)
  torch_model("Ernie", config, **fields).save_pretrained(tmp_path)
  described = json.loads((tmp_path / hf.CONFIG).read_text())
  described |= {"use_task_id": said}
  if said is None:
    del described["use_task_id"]
  (tmp_path / hf.CONFIG).write_text(json.dumps(described))
  import transformers

  tokens = rows(4, 6)
  model = transformers.AutoModel.from_pretrained(tmp_path).eval()
  expected = torch_layers(model, tokens)[-1]
  read = hf.read_config(tmp_path)
  hidden, _ = encode(read, hf.load(tmp_path, read), tokens, None)
  found = np.asarray(hidden)[tokens.segment > 0]
  np.testing.assert_allclose(found, expected, atol=1e-4)


def test_torch_reads_what_we_write(folder, params, config, rows, encode):
  pytest.importorskip("torch", reason=REASON)
  import transformers

  model = transformers.BertModel.from_pretrained(
    folder, add_pooling_layer=False
  ).eval()
  tokens = rows(4, 6)
  hidden, _ = encode(config, params, tokens, None)
  found = np.asarray(hidden)[tokens.segment > 0]
  np.testing.assert_allclose(found, torch_layers(model, tokens)[-1], atol=1e-4)


def test_round_trip_is_exact(folder, params, config, tmp_path):
  assert hf.read_config(folder) == config
  first = hf.load(folder, config)
  assert_same(first, params)
  hf.save(tmp_path / "again", first, config)
  assert_same(hf.load(tmp_path / "again", config), params)
  assert (tmp_path / "again" / hf.WEIGHTS).read_bytes() == (
    folder / hf.WEIGHTS
  ).read_bytes()


@pytest.mark.parametrize(
  "rename",
  [
    lambda name: f"bert.{name}",
    lambda name: f"ernie.{name}",
    lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
      "LayerNorm.bias", "LayerNorm.beta"
    ),
  ],
)
def test_old_and_prefixed_names(folder, params, config, rename):
  rewrite(folder, lambda ts: {rename(name): x for name, x in ts.items()})
  assert_same(hf.load(folder, config), params)


def test_what_is_no_encoder_is_passed_over(folder, params, config):
  others = (
    "bert.pooler.dense.weight",
    "embeddings.position_ids",
    "cls.predictions.bias",
    "classifier.weight",
  )
  rewrite(folder, lambda ts: ts | {name: np.zeros(3) for name in others})
  assert_same(hf.load(folder, config), params)


def test_half_precision_becomes_float32(folder, params, config):
  def half(x):
    return x.astype(ml_dtypes.bfloat16)

  rewrite(folder, lambda ts: {name: half(x) for name, x in ts.items()})
  found = hf.load(folder / hf.WEIGHTS, config)
  assert {x.dtype for x in jax.tree.leaves(found)} == {np.dtype("float32")}
  assert_same(found, jax.tree.map(lambda x: half(x).astype("f4"), params))


def test_layers_are_cut(folder, params, config):
  one = dataclasses.replace(config, depth=1)
  found = hf.load(folder, one, layers=(1,))
  assert_same(found["layer_0"], params["layer_1"])
  assert_same(found["word"], params["word"])
  assert "layer_1" not in found
  swapped = hf.load(folder, config, layers=(1, 0))
  assert_same(swapped["layer_1"], params["layer_0"])
  twice = hf.load(folder, config, layers=(0, 0))
  assert_same(twice["layer_1"], params["layer_0"])
  with pytest.raises(ValueError, match=r"layers \(0, 1\) are not .* 1"):
    hf.load(folder, one, layers=(0, 1))
  with pytest.raises(
    ValueError, match=r"layer\.5\.attention\.output.* is missing"
  ):
    hf.load(folder, one, layers=(5,))


def test_every_tensor_that_does_not_fit_is_named(folder, config):
  def spoil(tensors):
    del tensors["embeddings.LayerNorm.bias"]
    tensors["encoder.layer.0.intermediate.dense.weight"] = np.zeros((4, 8))
    return tensors

  rewrite(folder, spoil)
  with pytest.raises(ValueError) as error:
    hf.load(folder, config)
  file = folder / hf.WEIGHTS
  assert str(error.value) == (
    f"{file} does not fit: embeddings.LayerNorm.bias [8] is missing; "
    "encoder.layer.0.intermediate.dense.weight is [4, 8], the config asks for "
    "[16, 8]; correct config.json, or fetch both again"
  )


def test_a_tensor_that_nobody_knows_is_named(folder, config):
  rewrite(folder, lambda ts: ts | {"adapter.weight": np.zeros(3)})
  with pytest.raises(WeightsError, match=r"adapter\.weight is left over"):
    hf.load(folder, config)


def test_deeper_files_are_cut_only_on_demand(folder, variant):
  with pytest.raises(ValueError, match=r"layer\.1\.\S+ is left over"):
    hf.load(folder, variant(depth=1))


@pytest.mark.parametrize(
  ("key", "value"),
  [
    ("model_type", "deberta-v2"),
    ("position_embedding_type", "relative_key"),
    ("is_decoder", True),
  ],
)
def test_other_architectures_are_refused(folder, key, value):
  path = folder / hf.CONFIG
  path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
  with pytest.raises(ValueError, match=rf"json: {key} is {value!r}[,;] "):
    hf.read_config(folder)


def test_another_activation_is_refused_by_its_name(folder):
  path = folder / hf.CONFIG
  changed = json.loads(path.read_text()) | {"hidden_act": "silu"}
  path.write_text(json.dumps(changed))
  with pytest.raises(WeightsError, match=r"json: activation is 'silu'; known"):
    hf.read_config(folder)


def test_a_whole_config_is_read_without_transformers(
  folder, config, monkeypatch
):
  monkeypatch.setitem(sys.modules, "transformers", None)
  assert hf.read_config(folder) == config


def test_what_a_config_leaves_out_is_as_in_transformers(folder, config):
  path = folder / hf.CONFIG
  fields = json.loads(path.read_text())
  del fields["layer_norm_eps"], fields["hidden_dropout_prob"]
  path.write_text(json.dumps(fields))
  assert hf.read_config(folder) == dataclasses.replace(
    config, layer_norm_eps=1e-12, dropout=0.1
  )


def test_files_that_are_not_there_or_not_safe(tmp_path, config):
  with pytest.raises(WeightsError, match=r"config\.json is not there"):
    hf.read_config(tmp_path)
  pickled = tmp_path / "pytorch_model.bin"
  pickled.write_bytes(b"")
  with pytest.raises(
    WeightsError, match=r"only pytorch_model\.bin: .* convert pickled"
  ):
    hf.load(tmp_path, config)
  with pytest.raises(ValueError, match=r"model\.bin is no .* convert pickled"):
    hf.load(pickled, config)


def test_a_head_is_stored_beside_its_encoder(tmp_path, params, config):
  kernel = np.linspace(-1, 1, 8, dtype=np.float32)[:, None]
  head = {"kernel": kernel, "bias": np.float32([0.25])}
  hf.save(tmp_path, params, config, head=(Head("mean"), head))
  assert hf.read_head(tmp_path) == Head("mean")
  assert_same(hf.load_head(tmp_path, Head("mean")), head)
  assert_same(hf.load(tmp_path, config), params)
  with safetensors.safe_open(tmp_path / hf.WEIGHTS, "numpy") as tensors:
    assert tensors.get_slice("classifier.weight").get_shape() == [1, 8]
    notes = tensors.metadata()
  assert notes["pooling"] == "mean"
  assert "no pooler" in notes["head"]


def test_no_head_of_one_label(folder):
  assert hf.read_head(folder) is None
  with pytest.raises(
    WeightsError, match=r"classifier\.weight \[1, 8\] is miss"
  ):
    hf.load_head(folder, Head("cls"))
  two = {"classifier.weight": np.zeros((2, 8)), "classifier.bias": np.zeros(2)}
  rewrite(folder, lambda ts: ts | two)
  with pytest.raises(
    WeightsError, match=r"pooler\.dense\.bias \[8\] is missing"
  ):
    hf.read_head(folder)
  rewrite(folder, lambda ts: ts | {"classifier.weight": np.zeros((3, 8))})
  with pytest.raises(
    WeightsError, match="the head has 3 labels; a score takes"
  ):
    hf.read_head(folder)


def test_save_leaves_whole_files_only(tmp_path, params, config):
  vocabulary = tmp_path / "vocab.txt"
  vocabulary.write_text("[PAD]\n[CLS]\n")
  out = tmp_path / "deep" / "out"
  hf.save(out, params, config, tokenizer_files=[vocabulary])
  names = {p.name for p in out.iterdir()}
  assert names == {hf.CONFIG, hf.WEIGHTS, "vocab.txt"}
  assert (out / "vocab.txt").read_text() == vocabulary.read_text()
  before = (out / hf.WEIGHTS).read_bytes()
  with pytest.raises(ValueError, match="the parameters are of another shape"):
    hf.save(out, params, dataclasses.replace(config, depth=1))
  assert (out / hf.WEIGHTS).read_bytes() == before


def test_a_full_disk_is_told_with_the_file(tmp_path, monkeypatch):
  def full(arrays, path, metadata):
    raise safetensors.SafetensorError(
      "I/O error: No space left on device (os error 28)"
    )

  monkeypatch.setattr(safetensors.numpy, "save_file", full)
  with pytest.raises(OSError, match="No space left on device") as error:
    hf.save_params(tmp_path / "params.safetensors", {"x": np.zeros(3)})
  assert "params.safetensors" in error.value.filename
  assert "make room" in storage.trouble(error.value)


def test_own_trees_round_trip(tmp_path, params):
  tree = {"query": params, "head": {"bias": np.float32([0.25])}}
  path = tmp_path / "params.safetensors"
  hf.save_params(path, jax.tree.map(jax.numpy.asarray, tree))
  assert_same(hf.load_params(path), tree)
  assert [p.name for p in tmp_path.iterdir()] == [path.name]
