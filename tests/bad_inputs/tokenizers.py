"""Folders of tokenizers."""

import json
import pathlib

from tests.bad_inputs import made
from tests.bad_inputs.row import Line, Row

_KEY = "config.data.tokenizer"
WHOLE, VOCAB, SETTINGS = (
  "tokenizer.json",
  "vocab.txt",
  "tokenizer_config.json",
)


def _folder(files: made.Files, *more: str) -> Line:
  """A tokenizer's folder with these files."""

  def line(folder: pathlib.Path) -> list[str]:
    path = made.write(folder / "mine", files)
    key = f"--config.data.tokenizer={path}"
    return made.line(folder, key, *more, word="prepare")

  return line


def _settings(said: object) -> Line:
  """A good vocabulary, with settings beside it."""
  text = said if isinstance(said, str | bytes) else json.dumps(said)
  return _folder({VOCAB: made.VOCABULARY, SETTINGS: text})


def _vocab(content: made.Content) -> Line:
  return _folder({VOCAB: content})


def _whole(content: made.Content) -> Line:
  return _folder({WHOLE: content})


_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
_MODEL = {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[UNK]": 0}}
ROWS = [
  Row("an empty folder", _folder({}), (_KEY, "tokenizer.json or vocab.txt")),
  Row(
    "a folder that is not there",
    lambda folder: made.line(
      folder, f"--config.data.tokenizer={folder}/nowhere", word="prepare"
    ),
    (_KEY, "no such folder"),
  ),
  Row(
    "a file in its place",
    lambda folder: made.line(
      made.write(folder, {"words": made.VOCABULARY, "x": "y"}),
      f"--config.data.tokenizer={folder}/x",
      word="prepare",
    ),
    (_KEY, "that is a file"),
  ),
  Row(
    "SentencePiece alone",
    _folder({"spiece.model": b"\n\x0b"}),
    (_KEY, "tokenizer.json or vocab.txt"),
  ),
  Row("an empty vocab.txt", _vocab(""), (VOCAB, "[CLS]")),
  Row("a vocab.txt without special tokens", _vocab("a\nb\n"), (VOCAB, "[CLS]")),
  Row(
    "a vocab.txt without [UNK]",
    _vocab("[PAD]\n[CLS]\n[SEP]\ntea\n"),
    (VOCAB, "[UNK]"),
  ),
  Row("a vocab.txt in latin-1", _vocab(b"[PAD]\n\xe9\n"), (VOCAB, "utf-8")),
  Row("a vocab.txt that is a folder", _vocab(made.folder), (_KEY,)),
  Row("a vocab.txt that is a pointer", _vocab(_POINTER), (VOCAB, "Git-LFS")),
  Row("an empty tokenizer.json", _whole(""), (WHOLE,)),
  Row("a tokenizer.json that is cut", _whole('{"model": {'), (WHOLE,)),
  Row("a tokenizer.json of a list", _whole("[]"), (WHOLE,)),
  Row("a tokenizer.json without a model", _whole("{}"), (WHOLE,)),
  Row("a tokenizer.json that is a pointer", _whole(_POINTER), (WHOLE, "LFS")),
  Row("a tokenizer.json with NUL bytes", _whole("\0" * 99), (WHOLE,)),
  Row("a tokenizer.json in UTF-16", _whole("{}".encode("utf-16")), (WHOLE,)),
  Row(
    "a tokenizer.json with no special tokens",
    _whole(json.dumps({"version": "1.0", "model": _MODEL})),
    (WHOLE,),
  ),
  Row(
    "a tokenizer.json of an unknown model",
    _whole(json.dumps({"version": "1.0", "model": {"type": "Nix"}})),
    (WHOLE,),
  ),
  Row(
    "ids beyond 32 bits",
    _whole(
      json.dumps(
        {"version": "1.0", "model": _MODEL | {"vocab": {"[UNK]": 2**40}}}
      )
    ),
    (WHOLE,),
  ),
  Row("settings that are no JSON", _settings("{"), (SETTINGS,)),
  Row("settings of a list", _settings([]), (SETTINGS,)),
  Row("settings in latin-1", _settings(b'{"a": "\xe9"}'), (SETTINGS,)),
  Row(
    "a class that we do not know",
    _settings({"tokenizer_class": "LlamaTokenizer"}),
    ("LlamaTokenizer",),
  ),
  Row(
    "a class that is a number", _settings({"tokenizer_class": 3}), (SETTINGS,)
  ),
  Row(
    "a special token that is not in the vocabulary",
    _settings({"cls_token": "<s>"}),
    (VOCAB, "<s>"),
  ),
  Row(
    "a special token that is a number", _settings({"sep_token": 3}), (SETTINGS,)
  ),
  Row(
    "lower-casing that is a word",
    _settings({"do_lower_case": "perhaps"}),
    (SETTINGS,),
  ),
  Row(
    "a vocabulary of another class",
    _settings({"tokenizer_class": "RobertaTokenizer"}),
    (VOCAB, "RobertaTokenizer"),
  ),
]
