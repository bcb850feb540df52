"""Texts to token ids: the tokenizer, and a dataset tokenised once.

The ids of a text are kept without special tokens; rows.py adds these and the
padding. How ids lie on disk is store.py; which of them come into a batch is
assemble.py.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tokenizers

from prod_jax import packaged
from prod_jax.batches.store import TokenStore, build_store
from prod_jax.sets.dataset import Dataset
from prod_jax.sets.records import DataError, Passage

SEP = "[SEP]"


class Special(NamedTuple):
  """Ids of the special tokens."""

  cls: int
  sep: int
  pad: int
  mask: int


class Tokenizer:
  """A BERT-style tokenizer that yields content ids only.

  Attributes:
    special: ids of the special tokens.
    vocab_size: number of ids.
    fingerprint: of the file that it was read from.
  """

  def __init__(self, path: pathlib.Path, inner: tokenizers.Tokenizer):
    names = [f"[{field.upper()}]" for field in Special._fields]
    ids = [inner.token_to_id(name) for name in names]
    if None in ids:
      missing = ", ".join(
        n for n, i in zip(names, ids, strict=True) if i is None
      )
      raise DataError(
        f"{path}: no {missing} in it; a tokenizer like BERT's has"
      )
    inner.no_truncation()
    inner.no_padding()
    # "[SEP]" in somebody's text is text.
    inner.encode_special_tokens = True
    self._inner = inner
    self.special = Special(*(i for i in ids if i is not None))
    self.vocab_size = inner.get_vocab_size()
    self.fingerprint = packaged.sha256(path)[:16]

  def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
    """int32 [length] for each text."""
    encodings = self._inner.encode_batch_fast(
      list(texts), add_special_tokens=False
    )
    return [np.array(encoding.ids, np.int32) for encoding in encodings]


def load_tokenizer(folder: pathlib.Path) -> Tokenizer:
  """Reads tokenizer.json, or else vocab.txt as lower-casing WordPiece.

  Raises:
    DataError: neither is there, or special tokens are missing.
  """
  whole, vocab = folder / "tokenizer.json", folder / "vocab.txt"
  if whole.is_file():
    return Tokenizer(whole, tokenizers.Tokenizer.from_file(str(whole)))
  if not vocab.is_file():
    raise DataError(f"{folder}: expected tokenizer.json or vocab.txt in it")
  model = tokenizers.models.WordPiece.from_file(str(vocab), unk_token="[UNK]")
  inner = tokenizers.Tokenizer(model)
  inner.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
  inner.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
  return Tokenizer(vocab, inner)


@dataclasses.dataclass(frozen=True, eq=False)
class TokenisedDataset:
  """Tokens of a dataset, by collection row and by query row of a split."""

  passages: TokenStore
  queries: Mapping[str, TokenStore]
  special: Special


def tokenise_dataset(
  dataset: Dataset,
  tokenizer: Tokenizer,
  folder: pathlib.Path,
  *,
  title_join: str,
  max_tokens: int,
) -> TokenisedDataset:
  """Tokenises passages and queries into stores, or opens those of before.

  Args:
    dataset: the texts.
    tokenizer: to use.
    folder: where the stores are kept.
    title_join: text between title and passage, or "[SEP]" for that token; a
      passage without title is its text alone.
    max_tokens: content tokens to keep of a text.
  """

  def encode_passages(passages: Sequence[Passage]) -> list[np.ndarray]:
    rows = _with_titles(tokenizer, passages, title_join)
    return [row[:max_tokens] for row in rows]

  def encode_queries(texts: Sequence[str]) -> list[np.ndarray]:
    return [row[:max_tokens] for row in tokenizer.encode(texts)]

  key = {"tokenizer": tokenizer.fingerprint, "max_tokens": max_tokens}
  titled = {"source": dataset.passages.fingerprint, "title_join": title_join}
  passages = build_store(
    folder / "passages",
    dataset.passages,
    encode_passages,
    rows=len(dataset.passages),
    vocab_size=tokenizer.vocab_size,
    key=key | titled,
  )
  queries = {
    split: build_store(
      folder / f"queries-{split}",
      (query.text for query in rows),
      encode_queries,
      rows=len(rows),
      vocab_size=tokenizer.vocab_size,
      key=key | {"source": dataset.fingerprint},
    )
    for split, rows in dataset.queries.items()
  }
  return TokenisedDataset(passages, queries, tokenizer.special)


def _with_titles(
  tokenizer: Tokenizer, passages: Sequence[Passage], title_join: str
) -> Iterator[np.ndarray]:
  if title_join != SEP:
    texts = [
      f"{p.title}{title_join}{p.text}" if p.title else p.text for p in passages
    ]
    yield from tokenizer.encode(texts)
    return
  titles = tokenizer.encode([passage.title for passage in passages])
  bodies = tokenizer.encode([passage.text for passage in passages])
  sep = np.array([tokenizer.special.sep], np.int32)
  for title, body in zip(titles, bodies, strict=True):
    yield np.concatenate([title, sep, body]) if len(title) else body
