"""python -m benchmarks.families: docs/FAMILIES.md, every family beside torch.

Of each family one small encoder with a head, drawn by torch and written by
transformers, is read by us; the table has the largest difference of our numbers
from torch's. It needs torch and transformers, and takes two minutes on a CPU.
"""

import dataclasses
import functools
import pathlib
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import torch
import transformers

from prod_jax import config, sharding
from prod_jax.batch import Tokens
from prod_jax.models import hf, transformer
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.transformer_config import TransformerConfig

DEVICES = 8
PAGE = pathlib.Path(__file__).parents[1] / "docs" / "FAMILIES.md"
_SHAPE = dict(
  vocab_size=60,
  hidden_size=16,
  num_hidden_layers=3,
  num_attention_heads=2,
  intermediate_size=32,
)
_TABLE = _SHAPE | dict(max_position_embeddings=80)
# Family -> its name in the classes of transformers, and a config of it.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
  "bert": ("Bert", _TABLE),
  "ernie": ("Ernie", _TABLE | dict(use_task_id=True)),
  "roberta": ("Roberta", _TABLE | dict(type_vocab_size=1)),
  "xlm-roberta": ("XLMRoberta", _TABLE | dict(type_vocab_size=1)),
  "camembert": ("Camembert", _TABLE | dict(type_vocab_size=1)),
  "mpnet": ("MPNet", _TABLE),
  "distilbert": (
    "DistilBert",
    dict(vocab_size=60, dim=16, n_layers=3, n_heads=2, hidden_dim=32),
  ),
  "electra": ("Electra", _TABLE | dict(embedding_size=8)),
  "modernbert": (
    "ModernBert",
    _SHAPE | dict(local_attention=10, pad_token_id=0),
  ),
}
LENGTHS = (40, 23, 17, 31, 9, 8, 25, 38)  # tokens of the texts
ALONE = tuple((text,) for text in range(len(LENGTHS)))
PAIRS = ((0, 5), (1, 2), (3, 4), (6,), (7,))  # texts that share a row
WIDTH = 48  # of a row
_HEAD = """# Families of encoders beside torch

Written by `python -m benchmarks.families`: of each family an encoder of three
layers with weights that torch drew, far from nothing, saved by transformers
{version}. A number is the largest difference from what torch {torch} makes of
the same texts, over all hidden states of all tokens, or over all scores.

- **in**: its folder, read by us; a text a row, padded.
- **packed**: the same texts, several in a row.
- **bf16**: the same computed in bfloat16, as a part of the largest state.
- **sharded**: the same over {devices} devices, data 2 x fsdp 2 x tensor 2.
- **export**: the folder that we write of it, read by `AutoModel` again.
- **head**: scores of its `ForSequenceClassification`.
"""


class Drawn(NamedTuple):
  """A family's model in torch, and what we read of its folder.

  Attributes:
    model: torch's.
    config, params: ours.
    tokens: a text a row.
    states: torch's, of the tokens that are no padding.
  """

  model: Any
  config: TransformerConfig
  params: Any
  tokens: Tokens
  states: np.ndarray


def saved(name: str, end: str, folder: pathlib.Path) -> Any:
  """A model of a family as `drawn`, saved in a folder."""
  kind, fields = FAMILIES[name]
  labels = {} if end == "Model" else {"num_labels": 1}
  model = drawn(kind, end, **fields, **labels)
  model.save_pretrained(folder)
  return model


def drawn(kind: str, end: str, **fields: Any) -> Any:
  """A model of torch with weights far from nothing."""
  torch.manual_seed(0)
  settings = getattr(transformers, f"{kind}Config")(**fields)
  model = getattr(transformers, f"{kind}{end}")(settings).eval()
  with torch.no_grad():
    for key, x in model.named_parameters():
      scale = "norm" in key.lower() and key.endswith("weight")
      x.copy_(0.3 * torch.randn_like(x) + scale)
  return model


def tokens_of(rows: tuple[tuple[int, ...], ...]) -> Tokens:
  """Rows of texts by their numbers; a text has the same ids in any row."""
  shape = (len(rows), WIDTH)
  found = Tokens(*(np.zeros(shape, np.int32) for _ in range(4)))
  for r, texts in enumerate(rows):
    start = 0
    for segment, text in enumerate(texts, 1):
      length = LENGTHS[text]
      here = slice(start, start + length)
      rng = np.random.default_rng(text)
      found.ids[r, here] = rng.integers(5, _SHAPE["vocab_size"], length)
      found.segment[r, here] = segment
      found.position[r, here] = np.arange(length)
      start += length
  return found


def inputs_of(shape: TransformerConfig, tokens: Tokens) -> dict[str, Any]:
  """The same as the arguments of a model of transformers."""
  ids = torch.tensor(tokens.ids).long()
  # What RoBERTa counts positions by.
  ids[torch.tensor(tokens.segment) == 0] = max(shape.position_offset - 1, 0)
  mask = torch.tensor(tokens.segment).long()
  return {"input_ids": ids, "attention_mask": mask}


def states_of(
  model: Any, shape: TransformerConfig, tokens: Tokens
) -> np.ndarray:
  """torch's hidden states."""
  with torch.no_grad():
    hidden = model(**inputs_of(shape, tokens)).last_hidden_state
  return hidden.numpy()[tokens.segment > 0]


def ours(shape: TransformerConfig, params: Any, tokens: Tokens) -> np.ndarray:
  """Our hidden states of all rows, in float32."""
  encode = jax.jit(
    functools.partial(transformer.encode, shape, dropout_key=None)
  )
  return np.asarray(encode(params, tokens)[0], np.float32)


def apart(found: np.ndarray, expected: np.ndarray) -> float:
  return float(np.abs(found - expected).max())


def read(one: Drawn) -> float:
  found = ours(one.config, one.params, one.tokens)
  return apart(found[one.tokens.segment > 0], one.states)


def packed(one: Drawn) -> float:
  tokens = tokens_of(PAIRS)
  found = ours(one.config, one.params, tokens)
  places = [
    found[r][tokens.segment[r] == segment]
    for text in range(len(LENGTHS))
    for r, texts in enumerate(PAIRS)
    for segment, number in enumerate(texts, 1)
    if number == text
  ]
  return apart(np.concatenate(places), one.states)


def in_bfloat16(one: Drawn) -> float:
  half = dataclasses.replace(one.config, dtype="bfloat16")
  found = ours(half, one.params, one.tokens)[one.tokens.segment > 0]
  return apart(found, one.states) / float(np.abs(one.states).max())


def sharded(one: Drawn) -> float:
  mesh = sharding.make_mesh(config.Mesh(data=-1, fsdp=2, tensor=2))
  tree = {"encoder": one.params}
  with jax.set_mesh(mesh):
    params = sharding.place(tree, sharding.shardings(tree, mesh))["encoder"]
    tokens = sharding.put_batch(one.tokens, mesh)
    found = ours(one.config, params, tokens)
  return apart(found[one.tokens.segment > 0], one.states)


def exported(one: Drawn) -> float:
  with tempfile.TemporaryDirectory() as folder:
    hf.save(folder, one.params, one.config)
    back = transformers.AutoModel.from_pretrained(folder).eval()
    return apart(states_of(back, one.config, one.tokens), one.states)


def head(name: str) -> float:
  """Scores of a cross-encoder, which is a model of its own."""
  with tempfile.TemporaryDirectory() as folder:
    model = saved(name, "ForSequenceClassification", pathlib.Path(folder))
    shape, form = hf.read_config(folder), hf.read_head(folder)
    assert form is not None
    params = {
      "encoder": hf.load(folder, shape),
      "head": hf.load_head(folder, form),
    }
  tokens = tokens_of(ALONE)
  with torch.no_grad():
    expected = model(**inputs_of(shape, tokens)).logits.numpy()[:, 0]
  score = jax.jit(CrossEncoder(shape, form.pooling, form).score)
  return apart(np.asarray(score(params, tokens)[0]), expected)


COLUMNS: dict[str, Callable[[Drawn], float]] = {
  "in": read,
  "packed": packed,
  "bf16": in_bfloat16,
  "sharded": sharded,
  "export": exported,
}


def differences(name: str) -> dict[str, float]:
  """The row of a family."""
  with tempfile.TemporaryDirectory() as folder:
    model = saved(name, "Model", pathlib.Path(folder))
    shape = hf.read_config(folder)
    params = hf.load(folder, shape)
  tokens = tokens_of(ALONE)
  one = Drawn(model, shape, params, tokens, states_of(model, shape, tokens))
  made = {title: column(one) for title, column in COLUMNS.items()}
  return made | {"head": head(name)}


def page(rows: Mapping[str, Mapping[str, float]]) -> str:
  """The whole page, as Markdown."""
  titles = [*COLUMNS, "head"]
  lines = [
    f"| family | {' | '.join(titles)} |",
    f"|---|{'---:|' * len(titles)}",
  ]
  for name, row in rows.items():
    cells = [f"{row[title]:.1e}" for title in titles]
    lines.append(f"| {name} | {' | '.join(cells)} |")
  versions = {"torch": torch.__version__.split("+")[0]}
  text = _HEAD.format(
    version=transformers.__version__, devices=DEVICES, **versions
  )
  return f"{text}\n" + "\n".join(lines) + "\n"


def main() -> None:
  # Before anything else asks for a device: the sharded column needs so many.
  jax.config.update("jax_platforms", "cpu")
  jax.config.update("jax_num_cpu_devices", DEVICES)
  transformers.logging.set_verbosity_error()
  text = page({name: differences(name) for name in FAMILIES})
  PAGE.write_text(text)
  sys.stdout.write(text)


if __name__ == "__main__":
  main()
