"""Tokenizer files as transformers reads them: what the run used, as a whole.

Ids are those that the model was trained on. A folder with vocab.txt alone gets
a tokenizer.json that says the same; a length to cut at is written down, and
padding left to who calls.
"""

import json
import pathlib
import shutil
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from prod_jax import storage
from prod_jax.batches.special import Special

WHOLE, VOCAB = "tokenizer.json", "vocab.txt"
SETTINGS, CONFIG = "tokenizer_config.json", "config.json"
_NAMES = "special_tokens_map.json"
# Beside them, copied where they are there.
_BESIDE = (VOCAB, _NAMES, "added_tokens.json")
# The special tokens of families; of each, the one that a vocabulary has.
_SPECIAL = {
  "unk_token": ("[UNK]", "<unk>"),
  "sep_token": ("[SEP]", "</s>"),
  "pad_token": ("[PAD]", "<pad>"),
  "cls_token": ("[CLS]", "<s>"),
  "mask_token": ("[MASK]", "<mask>"),
}


def write(
  folder: pathlib.Path,
  source: pathlib.Path,
  *,
  longest: int,
  special: Special,
  types: bool,
) -> None:
  """Writes the tokenizer of one folder into another.

  Args:
    folder: to write to.
    source: with tokenizer.json or vocab.txt.
    longest: tokens that a text is cut to.
    special: what it puts around a text and between two.
    types: the model tells the two texts of a pair apart by types of tokens.
  """
  for name in _BESIDE:
    if (source / name).is_file():
      shutil.copyfile(source / name, folder / name)
  settings = _read(source / SETTINGS)
  named = _read(source / _NAMES) | settings
  if (source / WHOLE).is_file():
    whole = _read(source / WHOLE) | {"truncation": None, "padding": None}
  else:
    whole = _of_vocab(source / VOCAB, named, special)
  if "tokenizer_class" not in settings and not (source / CONFIG).is_file():
    # Its model's config.json would say; a file alone is taken as it is.
    alone = (source / WHOLE).is_file()
    settings["tokenizer_class"] = (
      "PreTrainedTokenizerFast" if alone else "BertTokenizer"
    )
  settings = _special(whole, named) | settings
  # Said by the caller of a tokenizer, or by none.
  for key in ("max_length", "name_or_path", "stride", "pad_to_multiple_of"):
    settings.pop(key, None)
  settings["model_max_length"] = longest
  # Classes differ in what they give where nobody says it.
  of_types = ["token_type_ids"] if types else []
  settings["model_input_names"] = ["input_ids", *of_types, "attention_mask"]
  _write(folder / WHOLE, whole)
  _write(folder / SETTINGS, settings)


def _of_vocab(
  path: pathlib.Path, settings: dict[str, Any], special: Special
) -> dict[str, Any]:
  """BERT's WordPiece, as transformers makes it of a vocab.txt."""
  # A line ends in \n alone: other characters that end lines are tokens.
  lines = path.read_bytes().decode().removesuffix("\n").split("\n")
  words = [line.removesuffix("\r") for line in lines]
  ids = {word: number for number, word in enumerate(words)}
  return {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [
      {
        "id": ids[word],
        "content": word,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
      }
      for word in sorted(_roles(ids, settings).values(), key=ids.__getitem__)
    ],
    "normalizer": {
      "type": "BertNormalizer",
      "clean_text": True,
      "handle_chinese_chars": settings.get("tokenize_chinese_chars", True),
      "strip_accents": settings.get("strip_accents"),
      "lowercase": settings.get("do_lower_case", True),
    },
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": _template(words, special),
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    "model": {
      "type": "WordPiece",
      "unk_token": "[UNK]",
      "continuing_subword_prefix": "##",
      "max_input_chars_per_word": 100,
      "vocab": ids,
    },
  }


def _template(words: Sequence[str], special: Special) -> dict[str, Any]:
  """What stands around a text A, and around A and B."""
  prefix, between, suffix = ([words[i] for i in ids] for ids in special[:3])
  # Whoever has two separators between texts, has no types of tokens.
  second = int(between == suffix)

  def around(tokens: Sequence[str], kind: int = 0) -> list[dict[str, Any]]:
    return [{"SpecialToken": {"id": t, "type_id": kind}} for t in tokens]

  def text(name: str, kind: int) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": kind}}

  first = [*around(prefix), text("A", 0)]
  return {
    "type": "TemplateProcessing",
    "single": [*first, *around(suffix)],
    "pair": [
      *first,
      *around(between),
      text("B", second),
      *around(suffix, second),
    ],
    "special_tokens": {
      words[i]: {"id": words[i], "ids": [i], "tokens": [words[i]]}
      for ids in special[:3]
      for i in ids
    },
  }


def _special(
  whole: dict[str, Any], settings: Mapping[str, Any]
) -> dict[str, str]:
  """The special tokens that a tokenizer.json has, by what they are for."""
  known = {token["content"] for token in whole.get("added_tokens") or ()}
  return _roles(known, settings)


def _roles(
  known: Collection[str], settings: Mapping[str, Any]
) -> dict[str, str]:
  """The special tokens of a vocabulary: those that are named, or BERT's."""
  found = {}
  for role, usual in _SPECIAL.items():
    word = settings.get(role)
    word = word.get("content") if isinstance(word, Mapping) else word
    there = [w for w in ((word,) if word else usual) if w in known]
    if there:
      found[role] = there[0]
  return found


def _read(path: pathlib.Path) -> dict[str, Any]:
  return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _write(path: pathlib.Path, value: dict[str, Any]) -> None:
  storage.write_text(path, json.dumps(value, ensure_ascii=False, indent=2))
