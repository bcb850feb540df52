"""Every family beside torch, on weights that torch drew and wrote."""

import functools

import jax
import numpy as np
import pytest

from prod_jax.models import hf, transformer
from prod_jax.models.cross import CrossEncoder
from tests.models import tiny

REASON = "parity is judged by torch, which is not installed"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)

from benchmarks.families import drawn  # noqa: E402

SHAPE = dict(
  vocab_size=60,
  hidden_size=16,
  num_hidden_layers=3,
  num_attention_heads=2,
  intermediate_size=32,
)
TABLE = SHAPE | dict(max_position_embeddings=160)
# Longer rows where distances or windows have to reach far.
KINDS = {
  "Bert": (20, TABLE),
  "Ernie": (20, TABLE | dict(use_task_id=True, hidden_act="relu")),
  "Roberta": (20, TABLE | dict(type_vocab_size=1)),
  "XLMRoberta": (20, TABLE | dict(type_vocab_size=2, pad_token_id=3)),
  "Camembert": (20, TABLE | dict(hidden_act="gelu_new")),
  "MPNet": (400, SHAPE | dict(max_position_embeddings=410)),
  "Electra": (20, TABLE | dict(embedding_size=8)),
  "DistilBert": (
    20,
    dict(vocab_size=60, dim=16, n_layers=3, n_heads=2, hidden_dim=32),
  ),
  "ModernBert": (40, SHAPE | dict(local_attention=10, pad_token_id=0)),
  "ModernBert, biases": (
    40,
    SHAPE
    | dict(
      pad_token_id=0,
      attention_bias=True,
      mlp_bias=True,
      norm_bias=True,
      classifier_bias=True,
      classifier_pooling="mean",
      layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
  ),
}


def states(model, inputs, tokens):
  with torch.no_grad():
    hidden = model(**inputs).last_hidden_state.numpy()
  return hidden[tokens.segment > 0]


def score(model, inputs):
  with torch.no_grad():
    logits = model(**inputs).logits.numpy()
  return logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]


def ours(config, params, tokens):
  encode = jax.jit(
    functools.partial(transformer.encode, config, dropout_key=None)
  )
  return np.asarray(encode(params, tokens)[0])[tokens.segment > 0]


@pytest.mark.parametrize("name", KINDS)
def test_states_are_those_of_torch_in_and_out(name, tmp_path):
  (length, fields), (kind, *_) = KINDS[name], name.split(",")
  model = drawn(kind, "Model", **fields)
  model.save_pretrained(tmp_path / "theirs")
  config = hf.read_config(tmp_path / "theirs")
  params = hf.load(tmp_path / "theirs", config)
  tokens = tiny.tokens(length, length // 2, width=length)
  inputs = tiny.torch_inputs(config, tokens)
  expected = states(model, inputs, tokens)
  np.testing.assert_allclose(ours(config, params, tokens), expected, atol=1e-5)

  hf.save(tmp_path / "ours", params, config)
  back = transformers.AutoModel.from_pretrained(tmp_path / "ours").eval()
  found = states(back, inputs, tokens)
  np.testing.assert_allclose(found, expected, atol=5e-6)

  cut = config.cut((0, 2))
  student = hf.load(tmp_path / "theirs", cut, layers=(0, 2))
  hf.save(tmp_path / "cut", student, cut, dtype="bfloat16")
  half = transformers.AutoModel.from_pretrained(tmp_path / "cut")
  assert half.dtype == torch.bfloat16
  found = states(half.float().eval(), inputs, tokens)
  cut = hf.read_config(tmp_path / "cut")  # a BERT, of what was an ERNIE
  read = hf.load(tmp_path / "cut", cut)
  np.testing.assert_allclose(ours(cut, read, tokens), found, atol=1e-5)


@pytest.mark.parametrize("labels", [1, 2])
@pytest.mark.parametrize("name", KINDS)
def test_scores_are_those_of_torch_in_and_out(name, labels, tmp_path):
  (_, fields), (kind, *_) = KINDS[name], name.split(",")
  model = drawn(kind, "ForSequenceClassification", **fields, num_labels=labels)
  model.save_pretrained(tmp_path / "theirs")
  config = hf.read_config(tmp_path / "theirs")
  head = hf.read_head(tmp_path / "theirs")
  params = {
    "encoder": hf.load(tmp_path / "theirs", config),
    "head": hf.load_head(tmp_path / "theirs", head),
  }
  tokens = tiny.tokens(20, 9, width=20)
  inputs = tiny.torch_inputs(config, tokens)
  expected = score(model, inputs)
  found, _ = jax.jit(CrossEncoder(config, head.pooling, head).score)(
    params, tokens
  )
  np.testing.assert_allclose(found, expected, atol=1e-5)

  saved = tmp_path / "ours"
  hf.save(saved, params["encoder"], config, head=(head, params["head"]))
  classifier = transformers.AutoModelForSequenceClassification
  back = classifier.from_pretrained(saved).eval()
  np.testing.assert_allclose(score(back, inputs), expected, atol=1e-6)


@pytest.mark.parametrize("kind", [k for k in KINDS if "," not in k])
def test_what_a_config_leaves_out_is_as_in_transformers(kind, tmp_path):
  settings = getattr(transformers, f"{kind}Config")()
  settings.save_pretrained(tmp_path)  # every field of it
  full = hf.read_config(tmp_path)
  (tmp_path / hf.CONFIG).write_text(
    f'{{"model_type": "{settings.model_type}"}}'
  )
  assert hf.read_config(tmp_path) == full
