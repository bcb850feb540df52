"""Tokenizer files as transformers reads them: what the run used, as a whole.

Ids are those that the model was trained on. A folder with vocab.txt alone gets
a tokenizer.json that says the same; a length to cut at is written down, and
padding left to who calls.
"""

import json
import pathlib
import shutil
from collections.abc import Collection, Mapping
from typing import Any

from prod_jax import json_files, storage
from prod_jax.batches import classes
from prod_jax.batches.settings import read_settings
from prod_jax.batches.tokens import Tokenizer

WHOLE, VOCAB = "tokenizer.json", "vocab.txt"
SETTINGS = "tokenizer_config.json"
_NAMES = "special_tokens_map.json"
# Beside them, copied where they are there.
_BESIDE = (VOCAB, _NAMES, "added_tokens.json")
# Of tokenizer.json, what a class makes.
_MADE = ("normalizer", "pre_tokenizer", "model", "post_processor")
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
  ours: Tokenizer,
  types: bool,
) -> None:
  """Writes the tokenizer of one folder into another.

  Args:
    folder: to write to.
    source: with tokenizer.json or vocab.txt.
    longest: tokens that a text is cut to.
    ours: what the run has read from it.
    types: the model tells the two texts of a pair apart by types of tokens.
  """
  for name in _BESIDE:
    if (source / name).is_file():
      shutil.copyfile(source / name, folder / name)
  settings = _read(source / SETTINGS)
  named = _read(source / _NAMES) | settings
  if (source / WHOLE).is_file():
    # Its class has made some of it anew, and who reads the file alone does not.
    read = ours.as_json()
    made = {key: read[key] for key in _MADE}
    whole = _read(source / WHOLE) | made | {"truncation": None, "padding": None}
  else:
    whole = _of_vocab(ours.as_json(), named)
  if not settings.get("tokenizer_class"):
    # The config.json beside it, which may have said so, is another model's.
    settings["tokenizer_class"] = _class_of(source)
  settings = _special(whole, named) | settings
  # Said by the caller of a tokenizer, or by none.
  for key in ("max_length", "name_or_path", "stride", "pad_to_multiple_of"):
    settings.pop(key, None)
  # A run cuts and pads behind a text, whatever its tokenizer's folder says.
  settings |= dict.fromkeys(("padding_side", "truncation_side"), "right")
  settings["model_max_length"] = longest
  # Classes differ in what they give where nobody says it.
  of_types = ["token_type_ids"] if types else []
  settings["model_input_names"] = ["input_ids", *of_types, "attention_mask"]
  _write(folder / WHOLE, whole)
  _write(folder / SETTINGS, settings)


def _class_of(source: pathlib.Path) -> str:
  """The name of the class that a folder was read by."""
  if made := classes.class_of(source, read_settings(source)):
    return made[0]
  return classes.ANY if (source / WHOLE).is_file() else classes.bert()[0]


def _of_vocab(
  whole: dict[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
  """What a vocab.txt was read as, with its special tokens and a decoder."""
  ids = whole["model"]["vocab"]
  return whole | {
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
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
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
  return json_files.read(path, dict, "fetch it again") if path.is_file() else {}


def _write(path: pathlib.Path, value: dict[str, Any]) -> None:
  storage.write_text(path, json.dumps(value, ensure_ascii=False, indent=2))
