"""all-mpnet-base-v2 embeds as sentence-transformers does."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import pytest
from tokenizers import Tokenizer

from prod_jax import packaged
from prod_jax.batch import Tokens
from prod_jax.models import hf
from prod_jax.models.dual import DualEncoder

GOLDEN = json.loads(
  pathlib.Path(__file__).with_name("golden_mpnet.json").read_text()
)


@pytest.fixture(scope="module")
def folder():
  try:
    return packaged.mpnet_folder()
  except FileNotFoundError as error:
    pytest.skip(str(error))


def embeddings(folder, texts):
  tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
  tokenizer.enable_padding(pad_id=1, pad_token="<pad>")
  tokenizer.enable_truncation(384)
  encoded = tokenizer.encode_batch(list(texts))
  ids = np.array([x.ids for x in encoded], np.int32)
  column = np.arange(ids.shape[1], dtype=np.int32)
  tokens = Tokens(
    ids=ids,
    segment=np.array([x.attention_mask for x in encoded], np.int32),
    position=np.broadcast_to(column, ids.shape),
    type=np.zeros_like(ids),
  )
  config = hf.read_config(folder)
  config = dataclasses.replace(config, dropout=0.0, attention_dropout=0.0)
  model = DualEncoder(config, tied=True, pooling="mean", similarity="cosine")
  params = {"encoder": hf.load(folder, config)}
  embed = jax.jit(lambda p, x: model.embed(p, x, "passage")[0])
  return embed(params, tokens)


def test_golden(folder):
  found = embeddings(folder, GOLDEN["first"])
  wanted = list(GOLDEN["first"].values())
  np.testing.assert_allclose(found[:, :8], wanted, atol=1e-5)


def test_sentence_transformers_itself(folder):
  library = pytest.importorskip(
    "sentence_transformers", reason="needs sentence-transformers"
  )
  texts = [*GOLDEN["first"], "how to sort a list " * 60]
  wanted = library.SentenceTransformer(str(folder), device="cpu").encode(texts)
  np.testing.assert_allclose(embeddings(folder, texts), wanted, atol=1e-5)
