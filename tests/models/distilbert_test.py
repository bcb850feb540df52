"""DistilBERT's names and shape, with torch as the judge where it is."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from prod_jax.batch import Tokens
from prod_jax.cli import distilbert as command
from prod_jax.models import distilbert, hf, transformer

FIELDS = dict(
  model_type="distilbert",
  activation="gelu",
  vocab_size=50,
  dim=8,
  n_layers=2,
  n_heads=2,
  hidden_dim=12,
  max_position_embeddings=10,
  dropout=0.1,
  attention_dropout=0.2,
)


def dense(name, out, width):
  return {f"{name}.weight": (out, width), f"{name}.bias": (out,)}


def norm(name):
  return {f"{name}.weight": (8,), f"{name}.bias": (8,)}


def shapes():
  """The tensors of `transformers.DistilBertModel`."""
  found = {
    "embeddings.word_embeddings.weight": (50, 8),
    "embeddings.position_embeddings.weight": (10, 8),
    **norm("embeddings.LayerNorm"),
  }
  for i in range(2):
    layer = f"transformer.layer.{i}"
    for part in ("q_lin", "k_lin", "v_lin", "out_lin"):
      found |= dense(f"{layer}.attention.{part}", 8, 8)
    found |= norm(f"{layer}.sa_layer_norm") | norm(f"{layer}.output_layer_norm")
    found |= dense(f"{layer}.ffn.lin1", 12, 8)
    found |= dense(f"{layer}.ffn.lin2", 8, 12)
  return found


@pytest.fixture
def folder(tmp_path):
  """One as `save_pretrained` of a masked language model leaves it."""
  rng = np.random.default_rng(0)
  tensors = {
    f"distilbert.{name}": rng.normal(size=shape).astype(np.float32)
    for name, shape in shapes().items()
  }
  tensors["vocab_projector.bias"] = np.zeros(50, np.float32)
  source = tmp_path / "distilbert"
  source.mkdir()
  (source / hf.CONFIG).write_text(json.dumps(FIELDS))
  (source / "vocab.txt").write_text("[PAD]\n")
  save_file(tensors, source / hf.WEIGHTS)
  return source


def test_it_is_a_bert_whose_token_types_add_nothing(folder, tmp_path):
  target = tmp_path / "bert"
  distilbert.convert(folder, target)
  config = hf.read_config(target)
  assert config == transformer.TransformerConfig(
    vocab_size=50,
    width=8,
    depth=2,
    heads=2,
    mlp_width=12,
    max_positions=10,
    attention_dropout=0.2,
  )
  encoder = hf.load(target, config)
  stored = load_file(folder / hf.WEIGHTS)
  layer = "distilbert.transformer.layer.1."
  for ours, theirs in (
    (encoder["layer_1"]["attention"]["value"]["kernel"], "attention.v_lin"),
    (encoder["layer_1"]["attention"]["output"]["kernel"], "attention.out_lin"),
    (encoder["layer_1"]["mlp"]["down"]["kernel"], "ffn.lin2"),
  ):
    np.testing.assert_array_equal(ours, stored[f"{layer}{theirs}.weight"].T)
  for ours, theirs in (
    ("attention_norm", "sa_layer_norm"),
    ("mlp_norm", "output_layer_norm"),
  ):
    np.testing.assert_array_equal(
      encoder["layer_1"][ours]["scale"], stored[f"{layer}{theirs}.weight"]
    )
  assert not encoder["type"]["embedding"].any()
  assert (target / "vocab.txt").read_text() == "[PAD]\n"


def test_what_does_not_fit_is_named(folder, tmp_path):
  tensors = load_file(folder / hf.WEIGHTS)
  del tensors["distilbert.transformer.layer.0.ffn.lin1.bias"]
  save_file(tensors, folder / hf.WEIGHTS)
  with pytest.raises(ValueError, match=r"layer\.0\.ffn\.lin1\.bias is missing"):
    distilbert.convert(folder, tmp_path / "bert")
  (folder / hf.CONFIG).write_text(json.dumps(FIELDS | {"model_type": "bert"}))
  with pytest.raises(ValueError, match="model_type is 'bert'"):
    distilbert.convert(folder, tmp_path / "bert")
  assert not (tmp_path / "bert").exists()


def test_the_command_writes_it_too(folder, tmp_path, capsys):
  command.main(["distilbert", str(folder), str(tmp_path / "bert")])
  assert "2 layers of width 8" in capsys.readouterr().out
  assert (tmp_path / "bert" / hf.WEIGHTS).is_file()
  with pytest.raises(SystemExit):
    command.main(["distilbert", str(tmp_path), str(tmp_path / "none")])


def test_hidden_states_are_those_of_torch(tmp_path):
  torch = pytest.importorskip(
    "torch", reason="parity is judged by torch, which is not installed"
  )
  import transformers

  torch.manual_seed(0)
  fields = {k: v for k, v in FIELDS.items() if k != "model_type"}
  model = transformers.DistilBertModel(
    transformers.DistilBertConfig(**fields, initializer_range=0.3)
  ).eval()
  model.save_pretrained(tmp_path / "distilbert")
  config = distilbert.convert(tmp_path / "distilbert", tmp_path / "bert")
  ids = np.random.default_rng(0).integers(50, size=(3, 7), dtype=np.int32)
  ones = np.ones_like(ids)
  tokens = Tokens(ids, ones, ones.cumsum(axis=1) - 1, 0 * ones)
  ours, _ = transformer.encode(
    config, hf.load(tmp_path / "bert", config), tokens, None
  )
  with torch.no_grad():
    theirs = model(torch.tensor(ids).long()).last_hidden_state.numpy()
  np.testing.assert_allclose(ours, theirs, atol=2e-5)
