"""Special tokens: what a tokenizer puts around a text and between its parts.

They are read off the tokenizer's own post-processor, by tokenising a word and a
pair of words. Where it has none, the files beside it name them, or they are
BERT's. Which post-processor a class of transformers has stands in classes.py.
"""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import tokenizers

from prod_jax.batches.settings import name_of
from prod_jax.sets.records import DataError


class Special(NamedTuple):
  """Ids of the special tokens.

  Attributes:
    prefix: in front of a text, [CLS] or <s>.
    between: between two parts of it, [SEP] or </s></s>.
    suffix: behind it, [SEP] or </s>.
    pad: of padding, which no model reads.
    mask: None where there is none.
  """

  prefix: tuple[int, ...]
  between: tuple[int, ...]
  suffix: tuple[int, ...]
  pad: int
  mask: int | None

  @property
  def around(self) -> int:
    """How many a text of one part has."""
    return len(self.prefix) + len(self.suffix)


def special_of(
  path: pathlib.Path, inner: tokenizers.Tokenizer, settings: Mapping[str, Any]
) -> Special:
  """The special tokens of a tokenizer that neither pads nor cuts.

  Args:
    path: of its file, for errors.
    inner: the tokenizer.
    settings: what the files beside it say.

  Raises:
    DataError: there are none, or other ones around a pair than around a text.
  """
  prefix, between, suffix = _template(path, inner) or _named(
    path, inner, settings
  )
  pad = settings.get("pad_id")
  if pad is None:
    pad = _id(inner, settings, "pad_token", "[PAD]")
  if pad is None:
    pad = settings.get("pad_token_id") or 0
  mask = _id(inner, settings, "mask_token", "[MASK]")
  return Special(prefix, between, suffix, pad, mask)


_Around = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def _template(
  path: pathlib.Path, inner: tokenizers.Tokenizer
) -> _Around | None:
  """What the post-processor adds, None where that is nothing."""
  word = _word(path, inner)
  prefix, none, suffix = _around(inner.encode(word))
  of_pair = _around(inner.encode(word, word))
  if (prefix, suffix) != of_pair[::2] or none:
    raise DataError(
      f"{path}: its post-processor puts tokens {prefix} and {suffix} around a "
      f"text, and {of_pair[0]} and {of_pair[2]} around a pair; they must be "
      "the same"
    )
  return of_pair if any(of_pair) else None


def _word(path: pathlib.Path, inner: tokenizers.Tokenizer) -> str:
  """A text that has a token."""

  def words() -> Iterator[str]:
    yield "a"
    yield from inner.get_vocab()  # of a large one no quick answer

  for word in words():
    if inner.encode(word, add_special_tokens=False).ids:
      return word
  raise DataError(f"{path}: no word of its vocabulary gives a token")


def _around(encoding: tokenizers.Encoding) -> _Around:
  """The ids before, between and behind the parts of a text."""
  ids, part = encoding.ids, encoding.sequence_ids
  there = [place for place, of in enumerate(part) if of is not None]
  between = [
    ids[place] for place in range(there[0], there[-1]) if part[place] is None
  ]
  return tuple(ids[: there[0]]), tuple(between), tuple(ids[there[-1] + 1 :])


def _named(
  path: pathlib.Path, inner: tokenizers.Tokenizer, settings: Mapping[str, Any]
) -> _Around:
  """What the files beside the tokenizer name, or BERT's."""
  names = (("cls_token", "[CLS]"), ("sep_token", "[SEP]"))
  found = [_id(inner, settings, *name) for name in names]
  missing = [
    f"{name_of(settings.get(key)) or ours} ({key})"
    for (key, ours), i in zip(names, found, strict=True)
    if i is None
  ]
  if missing:
    raise DataError(
      f"{path}: no {', no '.join(missing)} in it, and no post-processor that "
      "says what stands around a text; name its special tokens in "
      "tokenizer_config.json beside it"
    )
  cls, sep = (i for i in found if i is not None)
  return (cls,), (sep,), (sep,)


def _id(
  inner: tokenizers.Tokenizer,
  settings: Mapping[str, Any],
  key: str,
  otherwise: str,
) -> int | None:
  """The id of the token that the settings name, or of BERT's."""
  return inner.token_to_id(name_of(settings.get(key)) or otherwise)
