"""Texts to token ids: the tokenizer, and a dataset tokenised once.

The ids of a text are kept without special tokens; rows.py adds these and the
padding. How ids lie on disk is store.py; which of them come into a batch is
assemble.py.
"""

import dataclasses
import hashlib
import json
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tokenizers

from prod_jax.batches import classes
from prod_jax.batches.settings import (
  added_beside,
  name_of,
  read_settings,
  text_of,
)
from prod_jax.batches.special import Special, special_of
from prod_jax.batches.store import TokenStore, build_store
from prod_jax.sets.dataset import Dataset
from prod_jax.sets.records import SEP, DataError, Passage, joined

FILES = ("tokenizer.json", "vocab.txt")  # what a tokenizer is read from
_OTHERS = ("*.model", "vocab.json", "merges.txt")
_UNKNOWN = "\u2d63\ua66e"  # letters that few vocabularies have
_MARKER = re.compile(r"\[\w+\]")


def _check_unknown(path: pathlib.Path, inner: tokenizers.Tokenizer) -> None:
  """Raises DataError where a text that no vocabulary has cannot be read."""
  try:
    inner.encode(_UNKNOWN, add_special_tokens=False)
  except Exception as error:  # the library has no class of its own
    raise DataError(
      f"{path}: it cannot read a word that it does not know ({error}); add its "
      "unknown token to its vocabulary"
    ) from error


class Tokenizer:
  """Any tokenizer, of which only the ids of a text's content are taken.

  Attributes:
    special: ids of the special tokens.
    vocab_size: ids are below it.
    fingerprint: of all that decides ids, whichever files say it.
  """

  def __init__(
    self,
    path: pathlib.Path,
    inner: tokenizers.Tokenizer,
    settings: Mapping[str, Any],
  ):
    if inner.padding:
      settings = {"pad_id": inner.padding["pad_id"], **settings}
    inner.no_truncation()
    inner.no_padding()
    # "[SEP]" in somebody's text is text.
    inner.encode_special_tokens = True
    _check_unknown(path, inner)
    self._inner = inner
    self.special = special_of(path, inner, settings)
    self.vocab_size = max(inner.get_vocab().values()) + 1
    text = json.dumps([_content(inner), self.special])
    self.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]

  def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
    """int32 [length] for each text."""
    encodings = self._inner.encode_batch_fast(
      list(texts), add_special_tokens=False
    )
    return [np.array(encoding.ids, np.int32) for encoding in encodings]

  def id_of(self, token: str) -> int | None:
    """The id of a token by its own name, None where there is none."""
    return self._inner.token_to_id(token)

  def as_json(self) -> dict[str, Any]:
    """All that it does, as a tokenizer.json says it."""
    return json.loads(self._inner.to_str())

  def split_prompt(self, prompt: str) -> tuple[np.ndarray, str]:
    """The ids that a prompt has by its name, and the text behind these.

    A marker, which is an added token such as "[Q] " or one in brackets such as
    [unused0], is one id, though in a text it is read as any other word. Any
    other prompt is text.
    """
    added = {t.content for t in self._inner.get_added_tokens_decoder().values()}
    spaced = [t for t in added if t[-1:].isspace() and prompt.startswith(t)]
    for marker in (prompt, *spaced, *prompt.split(None, 1)[:1]):
      token = self.id_of(marker)
      if token is None or not (marker in added or _MARKER.fullmatch(marker)):
        continue
      return np.array([token], np.int32), prompt.removeprefix(marker)
    return np.zeros(0, np.int32), prompt

  def special_within(self, prompt: str) -> str:
    """A special token that a prompt's text holds and that is read as letters.

    As in any text; only what a prompt begins with is a marker. "" for none.
    """
    _, text = self.split_prompt(prompt)
    added = self._inner.get_added_tokens_decoder().values()
    found = (t.content for t in added if t.special and t.content in text)
    return next(found, "")


def holds_tokenizer(folder: pathlib.Path) -> bool:
  """Whether a tokenizer can be read from a folder."""
  return any((folder / name).is_file() for name in FILES)


def other_tokenizer(folder: pathlib.Path) -> list[str]:
  """Names of files in a folder that tokenizers of other kinds are read from."""
  return sorted(f.name for kind in _OTHERS for f in folder.glob(kind))


def load_tokenizer(folder: pathlib.Path) -> Tokenizer:
  """Reads tokenizer.json, or else vocab.txt as WordPiece, as AutoTokenizer.

  What a class of transformers makes anew is made anew, see classes.py.

  Raises:
    DataError: neither is there, one cannot be read or is not of its class, or
      special tokens are missing.
  """
  if not holds_tokenizer(folder):
    raise DataError(f"{folder}: expected tokenizer.json or vocab.txt in it")
  whole, vocab = (folder / name for name in FILES)
  settings = read_settings(folder)
  made = classes.class_of(folder, settings)
  if whole.is_file():
    path, inner = whole, _read(whole)
  else:
    path, made = vocab, made or classes.bert()
    inner = _of_vocab(vocab, settings)
  if made:
    settings = classes.make_anew(path, inner, made, settings)
  for token in added_beside(folder, settings):
    if inner.token_to_id(token["content"]) is None:
      inner.add_tokens([tokenizers.AddedToken(**token)])
  return Tokenizer(path, inner, settings)


def _read(whole: pathlib.Path) -> tokenizers.Tokenizer:
  text = text_of(whole)
  try:
    return tokenizers.Tokenizer.from_str(text)
  except Exception as error:  # the library has no other
    raise DataError(
      f"{whole}: no tokenizer ({error}); fetch it again"
    ) from error


def _of_vocab(
  vocab: pathlib.Path, settings: Mapping[str, Any]
) -> tokenizers.Tokenizer:
  text_of(vocab)  # says so where it is none
  unknown = name_of(settings.get("unk_token")) or "[UNK]"
  try:
    model = tokenizers.models.WordPiece.from_file(str(vocab), unk_token=unknown)
  except Exception as error:  # the library has no other
    raise DataError(
      f"{vocab}: no vocabulary ({error}); fetch it again"
    ) from error
  return tokenizers.Tokenizer(model)


def _content(inner: tokenizers.Tokenizer) -> dict[str, Any]:
  """All of a tokenizer that decides what the ids of a text are."""
  whole = json.loads(inner.to_str())
  parts = {key: whole[key] for key in ("normalizer", "pre_tokenizer", "model")}
  # Special ones are text where they stand in a text. A prompt may begin with
  # them by their names, which the vocabulary need not have.
  own = inner.get_vocab(with_added_tokens=False)
  added, named = [], {}
  for token in whole["added_tokens"]:
    if not token["special"]:
      added.append(token)
    elif own.get(token["content"]) != token["id"]:
      named[token["content"]] = token["id"]
  return {**parts, "added_tokens": added} | ({"named": named} if named else {})


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
  prompts: Mapping[str, str],
) -> TokenisedDataset:
  """Tokenises passages and queries into stores, or opens those of before.

  Args:
    dataset: the texts.
    tokenizer: to use.
    folder: where the stores are kept.
    title_join: text between title and passage, or "[SEP]" for what the
      tokenizer puts between two texts; a passage without title is its text
      alone.
    max_tokens: content tokens to keep of a text.
    prompts: texts in front of each "query" and each "passage"; it may lack one.
  """
  of_query, of_passage = (prompts.get(k, "") for k in ("query", "passage"))

  def encode_passages(passages: Sequence[Passage]) -> list[np.ndarray]:
    rows = with_titles(tokenizer, passages, title_join, of_passage)
    return [row[:max_tokens] for row in rows]

  def encode_queries(texts: Sequence[str]) -> list[np.ndarray]:
    marker, prompt = tokenizer.split_prompt(of_query)
    rows = tokenizer.encode([prompt + text for text in texts])
    return [np.concatenate([marker, row])[:max_tokens] for row in rows]

  key = {"tokenizer": tokenizer.fingerprint, "max_tokens": max_tokens}
  titled = {
    "source": dataset.passages.fingerprint,
    "title_join": title_join,
    "prompt": of_passage,
  }
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
      key=key | {"source": dataset.fingerprint, "prompt": of_query},
    )
    for split, rows in dataset.queries.items()
  }
  return TokenisedDataset(passages, queries, tokenizer.special)


def with_titles(
  tokenizer: Tokenizer,
  passages: Sequence[Passage],
  title_join: str,
  prompt: str,
) -> Iterator[np.ndarray]:
  """Yields int32 ids of passages, each with its title and prompt in front."""
  marker, prompt = tokenizer.split_prompt(prompt)
  if title_join != SEP:
    texts = [prompt + joined(p.title, p.text, title_join) for p in passages]
    for row in tokenizer.encode(texts):
      yield np.concatenate([marker, row])
    return
  titles = tokenizer.encode(
    [prompt + p.title if p.title else "" for p in passages]
  )
  bodies = tokenizer.encode(
    [p.text if p.title else prompt + p.text for p in passages]
  )
  between = np.array(tokenizer.special.between, np.int32)
  for title, body in zip(titles, bodies, strict=True):
    parts = [title, between, body] if len(title) else [body]
    yield np.concatenate([marker, *parts])
