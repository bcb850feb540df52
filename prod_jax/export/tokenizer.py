"""Tokenizer files as transformers reads them: what the run used, as a whole.

Ids are those that the model was trained on. A folder with vocab.txt alone gets
a tokenizer.json that says the same; a length to cut at is written down, and
padding left to who calls.
"""

import json
import pathlib
import shutil
from typing import Any

from prod_jax import storage

WHOLE, VOCAB = "tokenizer.json", "vocab.txt"
SETTINGS, CONFIG = "tokenizer_config.json", "config.json"
# Beside them, copied where they are there.
_BESIDE = (VOCAB, "special_tokens_map.json", "added_tokens.json")
# The special tokens of families; of each, the one that a vocabulary has.
_SPECIAL = {
  "unk_token": ("[UNK]", "<unk>"),
  "sep_token": ("[SEP]", "</s>"),
  "pad_token": ("[PAD]", "<pad>"),
  "cls_token": ("[CLS]", "<s>"),
  "mask_token": ("[MASK]", "<mask>"),
}


def write(folder: pathlib.Path, source: pathlib.Path, longest: int) -> None:
  """Writes the tokenizer of one folder into another.

  Args:
    folder: to write to.
    source: with tokenizer.json or vocab.txt.
    longest: tokens that a text is cut to.
  """
  for name in _BESIDE:
    if (source / name).is_file():
      shutil.copyfile(source / name, folder / name)
  settings = _read(source / SETTINGS)
  if (source / WHOLE).is_file():
    whole = _read(source / WHOLE) | {"truncation": None, "padding": None}
  else:
    whole = _of_vocab(source / VOCAB, settings)
  if "tokenizer_class" not in settings and not (source / CONFIG).is_file():
    # Its model's config.json would say; a file alone is taken as it is.
    alone = (source / WHOLE).is_file()
    settings["tokenizer_class"] = (
      "PreTrainedTokenizerFast" if alone else "BertTokenizer"
    )
  settings = _special(whole) | settings
  # Said by the caller of a tokenizer, or by none.
  for key in ("max_length", "name_or_path", "stride", "pad_to_multiple_of"):
    settings.pop(key, None)
  settings["model_max_length"] = longest
  _write(folder / WHOLE, whole)
  _write(folder / SETTINGS, settings)


def _of_vocab(path: pathlib.Path, settings: dict[str, Any]) -> dict[str, Any]:
  """BERT's WordPiece, as transformers makes it of a vocab.txt."""
  words = path.read_text(encoding="utf-8").splitlines()
  ids = {word: number for number, word in enumerate(words)}
  special = [bert for bert, _ in _SPECIAL.values() if bert in ids]
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
      for word in sorted(special, key=ids.__getitem__)
    ],
    "normalizer": {
      "type": "BertNormalizer",
      "clean_text": True,
      "handle_chinese_chars": settings.get("tokenize_chinese_chars", True),
      "strip_accents": settings.get("strip_accents"),
      "lowercase": settings.get("do_lower_case", True),
    },
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": _template(ids),
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    "model": {
      "type": "WordPiece",
      "unk_token": "[UNK]",
      "continuing_subword_prefix": "##",
      "max_input_chars_per_word": 100,
      "vocab": ids,
    },
  }


def _template(ids: dict[str, int]) -> dict[str, Any]:
  """[CLS] A [SEP], or [CLS] A [SEP] B [SEP]."""

  def special(word: str, kind: int) -> dict[str, Any]:
    return {"SpecialToken": {"id": word, "type_id": kind}}

  def text(name: str, kind: int) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": kind}}

  single = [special("[CLS]", 0), text("A", 0), special("[SEP]", 0)]
  return {
    "type": "TemplateProcessing",
    "single": single,
    "pair": [*single, text("B", 1), special("[SEP]", 1)],
    "special_tokens": {
      word: {"id": word, "ids": [ids[word]], "tokens": [word]}
      for word in ("[CLS]", "[SEP]")
    },
  }


def _special(whole: dict[str, Any]) -> dict[str, str]:
  """The special tokens that a tokenizer.json has, by what they are for."""
  known = {token["content"] for token in whole.get("added_tokens") or ()}
  return {
    role: word
    for role, words in _SPECIAL.items()
    for word in words
    if word in known
  }


def _read(path: pathlib.Path) -> dict[str, Any]:
  return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _write(path: pathlib.Path, value: dict[str, Any]) -> None:
  storage.write_text(path, json.dumps(value, ensure_ascii=False, indent=2))
