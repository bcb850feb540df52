"""What the files beside a tokenizer say of it.

Whatever is wrong with one of them is a `DataError` of one line that names the
file and what to do.
"""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

from prod_jax import json_files, storage
from prod_jax.sets.lines import half_pair_at
from prod_jax.sets.records import DataError

NAMES = ("cls", "sep", "bos", "eos", "pad", "mask", "unk")
_BOOLS = ("do_lower_case", "tokenize_chinese_chars", "add_prefix_space")
_OF_CONFIG = ("model_type", "tokenizer_class", "pad_token_id")
_AGAIN = "correct it, or fetch it again"
# Of a token that was added to a vocabulary.
_FLAGS = ("normalized", "special", "lstrip", "rstrip", "single_word")


def read_settings(folder: pathlib.Path) -> dict[str, Any]:
  """What they say; what tokenizer_config.json says counts most.

  Of config.json only what has to do with a tokenizer.

  Raises:
    DataError: a file is damaged, or says something of another type.
  """
  settings: dict[str, Any] = {}
  config = _object(folder / "config.json")
  settings |= {k: config[k] for k in _OF_CONFIG if config.get(k) is not None}
  for name in ("special_tokens_map.json", "tokenizer_config.json"):
    settings |= _object(folder / name)
  return settings


def added_beside(
  folder: pathlib.Path, settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
  """Tokens that somebody has added to a vocabulary, in the order of their ids.

  Each is what `tokenizers.AddedToken` is made with.

  Args:
    folder: which may have them in added_tokens.json.
    settings: of the folder; those of tokenizer_config.json count more.

  Raises:
    DataError: a file is damaged.
  """
  path = folder / "added_tokens.json"
  found: dict[int, Mapping[str, Any]] = {}
  if path.exists():
    said = json_files.read(path, {str: int}, _AGAIN, DataError)
    found = {number: {"content": content} for content, number in said.items()}
  decoder = settings.get("added_tokens_decoder") or {}
  shape = {"content": str, **{f"{flag}?": bool for flag in _FLAGS}}
  wrong = json_files.mismatch(decoder, {str: shape}, "added_tokens_decoder")
  if not wrong and not all(re.fullmatch("[0-9]{1,9}", n) for n in decoder):
    wrong = "added_tokens_decoder has keys that are no ids"
  if wrong:
    path = folder / "tokenizer_config.json"
    raise DataError(f"{path}: {wrong}; {_AGAIN}")
  found |= {int(number): token for number, token in decoder.items()}
  ordered = [token for _, token in sorted(found.items(), key=lambda x: x[0])]
  return [{k: t[k] for k in ("content", *_FLAGS) if k in t} for t in ordered]


def text_of(path: pathlib.Path) -> str:
  """A text file's content.

  Raises:
    DataError: it is not there as text.
  """
  if storage.is_pointer(path):
    raise DataError(
      f"{path} is a Git-LFS pointer, not the file itself; run `git lfs pull` "
      "in its repository, or download the file"
    )
  try:
    return path.read_text(encoding="utf-8")
  except (ValueError, OSError) as error:
    raise DataError(f"{path}: no text ({error}); {_AGAIN}") from error


def name_of(token: Any) -> str:
  """A token as these files name it: its text, or an object that has it."""
  return token.get("content", "") if isinstance(token, Mapping) else token or ""


def _object(path: pathlib.Path) -> dict[str, Any]:
  """A JSON object whose settings are of their types; empty without the file."""
  if not path.is_file():
    return {}
  try:
    found = json_files.parse(text_of(path))
  except ValueError as error:
    if isinstance(error, DataError):
      raise
    raise DataError(f"{path}: no JSON ({error}); {_AGAIN}") from error
  if not isinstance(found, dict):
    raise DataError(f"{path}: no JSON object; {_AGAIN}")
  for key, value in found.items():
    if takes := _wanted(key, value):
      raise DataError(f"{path}: {key} is {value!r}; it takes {takes}")
  return found


def _wanted(key: str, value: Any) -> str:
  """What a setting takes, "" where it is that."""
  if key in _BOOLS:
    return "" if isinstance(value, bool) else "true or false"
  if value is None:
    return ""
  if key == "strip_accents":
    return "" if isinstance(value, bool) else "true, false or null"
  if key in ("model_type", "tokenizer_class"):
    return "" if isinstance(value, str) else "a name"
  if key == "pad_token_id":
    return "" if type(value) is int and value >= 0 else "a number from 0 on"
  if key in [f"{name}_token" for name in NAMES]:
    text = value.get("content") if isinstance(value, dict) else value
    named = isinstance(text, str) and text and half_pair_at(text) is None
    return "" if named else "a token, or an object with its content"
  return ""
