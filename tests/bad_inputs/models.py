"""Folders of an encoder: its config.json and its weights."""

import pathlib
from collections.abc import Callable, Mapping

import numpy as np

from tests.bad_inputs import made
from tests.bad_inputs.row import Line, Row

WEIGHTS, CONFIG, INDEX = (
  "model.safetensors",
  "config.json",
  "model.safetensors.index.json",
)
_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
_WORD = "embeddings.word_embeddings.weight"


def student(
  files: Callable[[], made.Files] | made.Files,
  *more: str,
  kind: str = "dual",
  keys: Mapping[str, object] | None = None,
) -> Line:
  """An encoder's folder with other files, as the student's weights."""

  def line(folder: pathlib.Path) -> list[str]:
    path = made.encoder(folder / "model", files() if callable(files) else files)
    model = dict(kind=kind, weights=str(path), dropout=0.0, **(keys or {}))
    change = f"c.models.student = {model!r}"
    return made.line(folder, "--dry_run", *more, change=change)

  return line


def _weights(content: Callable[[], made.Content]) -> Line:
  return student(lambda: {WEIGHTS: content()})


def _tensor(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Line:
  """A tensor that is another one."""

  def changed(found: dict[str, np.ndarray]) -> None:
    found[name] = np.ascontiguousarray(change(found[name]))

  return _weights(lambda: made.tensors(changed))


def _config(**changed: object) -> Line:
  return student(lambda: {CONFIG: made.settings(**changed)})


_THERE = [
  Row(
    "a folder that is not there",
    lambda folder: made.line(
      folder, change="c.models.student = dict(kind='dual', weights='nowhere')"
    ),
    ("config.models.student.weights is 'nowhere'", "no such folder"),
  ),
  Row(
    "a file in its place",
    lambda folder: made.line(
      made.write(folder, {"x": "y"}),
      change=f"c.models.student = dict(kind='dual', weights='{folder}/x')",
    ),
    ("config.models.student.weights", "that is a file; it takes a folder"),
  ),
  Row(
    "a hub's model that was never fetched, in a dry run",
    lambda folder: made.line(
      folder,
      "--dry_run",
      change="c.models.student = dict(kind='dual', weights='nobody/nix')",
    ),
    ("config.models.student.weights", "'nobody/nix'", "--dry_run"),
  ),
  Row(
    "a folder whose name is misspelt",
    lambda folder: made.line(
      made.encoder(folder / "model").parent,
      change=f"c.models.student = dict(kind='dual', weights='{folder}/modle')",
    ),
    ("no such folder", "did you mean", "/model'?"),
  ),
  Row("no config.json", student({CONFIG: None}), (CONFIG,)),
  Row(
    "an adapter alone",
    student({CONFIG: None, "adapter_config.json": "{}"}),
    ("an adapter", "merge_and_unload"),
  ),
  Row("no weights", student({WEIGHTS: None}), ("no weights", WEIGHTS)),
  Row(
    "pickled weights alone",
    student({WEIGHTS: None, "pytorch_model.bin": b"\x80\x02."}),
    ("only pytorch_model.bin", "prod_jax convert"),
  ),
  Row(
    "a folder in place of weights", student({WEIGHTS: made.folder}), (WEIGHTS,)
  ),
  Row(
    "a folder in place of config.json",
    student({CONFIG: made.folder}),
    (CONFIG,),
  ),
  Row(
    "a link of weights to nothing", student({WEIGHTS: made.nowhere}), (WEIGHTS,)
  ),
  Row(
    "no tokenizer, and the data's has more tokens",
    student(
      lambda: {
        "vocab.txt": None,
        WEIGHTS: made.tensors(lambda t: t.update({_WORD: t[_WORD][:9]})),
        CONFIG: made.settings(vocab_size=9),
      }
    ),
    ("config.models.student", "9 embeddings", "tokenizer"),
  ),
  Row(
    "SentencePiece as the only tokenizer",
    student({"vocab.txt": None, "spiece.model": b"\n"}),
    ("spiece.model", "tokenizer.json"),
  ),
  Row(
    "a tokenizer with more tokens than embeddings",
    student({"vocab.txt": made.VOCABULARY + "more\n"}),
    ("config.models.student", "tokens"),
  ),
]
_FILES = [
  Row("a pointer of Git-LFS", _weights(lambda: _POINTER), (WEIGHTS, "Git-LFS")),
  Row(
    "config.json as such a pointer",
    student({CONFIG: _POINTER}),
    (CONFIG, "LFS"),
  ),
  Row("empty weights", _weights(lambda: b""), (WEIGHTS, "cut, damaged")),
  Row("weights of text", _weights(lambda: "tea\n"), (WEIGHTS, "cut, damaged")),
  Row(
    "weights without their end",
    _weights(lambda: made.weights()[:-100]),
    (WEIGHTS, "cut, damaged"),
  ),
  Row(
    "weights without most of them",
    _weights(lambda: made.weights()[:40]),
    (WEIGHTS, "cut, damaged"),
  ),
  Row(
    "bytes behind the weights",
    _weights(lambda: made.weights() + b"\0" * 8),
    (WEIGHTS, "cut, damaged"),
  ),
  Row(
    "a header of 2^62 bytes",
    _weights(lambda: (2**62).to_bytes(8, "little") + made.weights()[8:]),
    (WEIGHTS, "cut, damaged"),
  ),
  Row(
    "an array of NumPy",
    _weights(lambda: b"\x93NUMPY\x01\x00v\x00" + b" " * 99),
    (WEIGHTS, "cut, damaged"),
  ),
  Row(
    "an HTML page in place of weights",
    _weights(lambda: "<!doctype html><html>Log in</html>"),
    (WEIGHTS, "cut, damaged"),
  ),
  Row("an empty config.json", student({CONFIG: ""}), (CONFIG, "no JSON")),
  Row("a config.json of a list", student({CONFIG: "[]"}), (CONFIG, "object")),
  Row(
    "a config.json that is cut", student({CONFIG: '{"a":'}), (CONFIG, "JSON")
  ),
  Row(
    "a config.json in latin-1",
    student({CONFIG: b'{"a": "\xe9"}'}),
    (CONFIG, "no JSON"),
  ),
  Row(
    "brackets 100,000 deep in config.json",
    student({CONFIG: "[" * 100_000}),
    (CONFIG, "no JSON"),
  ),
  Row(
    "an index that is cut",
    student({WEIGHTS: None, INDEX: "{"}),
    (INDEX, "no JSON"),
  ),
  Row(
    "an index without a map",
    student({WEIGHTS: None, INDEX: "{}"}),
    (INDEX, "weight_map"),
  ),
  Row(
    "a shard that is not there",
    student({WEIGHTS: None, INDEX: '{"weight_map": {"a": "b.safetensors"}}'}),
    ("b.safetensors", "not there"),
  ),
  Row(
    "a shard outside of the folder",
    student({WEIGHTS: None, INDEX: '{"weight_map": {"a": "../b"}}'}),
    (INDEX, "'../b'"),
  ),
  Row(
    "a shard of a number",
    student({WEIGHTS: None, INDEX: '{"weight_map": {"a": 3}}'}),
    ("3",),
  ),
]
_TENSORS = [
  Row(
    "a table of another width",
    _tensor(_WORD, lambda x: x[:, :4]),
    (WEIGHTS, _WORD, "does not fit"),
  ),
  Row(
    "a table of fewer rows",
    _tensor(_WORD, lambda x: x[:9]),
    (WEIGHTS, _WORD, "does not fit"),
  ),
  Row("a table in another form", _tensor(_WORD, np.ravel), (WEIGHTS, _WORD)),
  Row(
    "a number in place of a table",
    _tensor(_WORD, lambda x: x[0, 0]),
    (WEIGHTS, _WORD),
  ),
  Row(
    "weights of integers",
    _tensor(_WORD, lambda x: x.astype(np.int8)),
    (WEIGHTS, _WORD, "I8"),
  ),
  Row(
    "a missing tensor",
    _weights(lambda: made.tensors(lambda t: t.pop(_WORD))),
    (WEIGHTS, _WORD, "missing"),
  ),
  Row(
    "a tensor too many",
    _weights(
      lambda: made.tensors(lambda t: t.update({"encoder.x": t[_WORD] + 0}))
    ),
    (WEIGHTS, "encoder.x", "left over"),
  ),
  Row(
    "other names altogether",
    _weights(lambda: made.tensors(lambda t: (t.clear(), t.update(a=_ONES)))),
    (WEIGHTS, "no encoder"),
  ),
  Row(
    "no tensor at all",
    _weights(lambda: made.tensors(lambda t: t.clear())),
    (WEIGHTS, "no encoder"),
  ),
]
_ONES = np.ones(3, np.float32)
_CONFIGS = [
  Row(
    "a family that we do not know",
    _config(model_type="llama"),
    (CONFIG, "model_type is 'llama'"),
  ),
  Row(
    "a family that we do not know, with a tokenizer that is not read",
    student(
      {
        CONFIG: '{"model_type": "gpt2"}',
        "vocab.txt": None,
        "vocab.json": "{}",
        "merges.txt": "",
      }
    ),
    (CONFIG, "'gpt2', a family that is not read; those that are: bert, "),
  ),
  Row(
    "a family that we do not know, in pickled weights",
    student(
      {
        CONFIG: '{"model_type": "t5"}',
        WEIGHTS: None,
        "pytorch_model.bin": b"\x80\x02.",
      }
    ),
    (CONFIG, "'t5', a family that is not read"),
  ),
  Row("a family that is a list", _config(model_type=["bert"]), (CONFIG,)),
  Row(
    "an activation that we do not know", _config(hidden_act="silu"), (CONFIG,)
  ),
  Row(
    "a width that is a text", _config(hidden_size="8"), (CONFIG, "hidden_size")
  ),
  Row("a width of 0", _config(hidden_size=0), (CONFIG, "hidden_size")),
  Row("a width of 10^12", _config(hidden_size=10**12), (CONFIG, "at most")),
  Row("a depth of 2^40", _config(num_hidden_layers=2**40), (CONFIG, "most")),
  Row("a depth below 0", _config(num_hidden_layers=-1), (CONFIG,)),
  Row("a depth that is a float", _config(num_hidden_layers=1.0), (CONFIG,)),
  Row("heads that do not divide", _config(num_attention_heads=3), (CONFIG,)),
  Row("no heads", _config(num_attention_heads=0), (CONFIG,)),
  Row("an epsilon that is null", _config(layer_norm_eps=None), (CONFIG,)),
  Row(
    "an epsilon that is NaN", _config(layer_norm_eps=float("nan")), (CONFIG,)
  ),
  Row("more layers than weights", _config(num_hidden_layers=2), (WEIGHTS,)),
  Row(
    "fewer positions than texts have",
    student(
      lambda: {
        CONFIG: made.settings(max_position_embeddings=4),
        WEIGHTS: made.tensors(
          lambda t: t.update({_POSITION: t[_POSITION][:4] + 0})
        ),
      }
    ),
    ("4 positions", "passage_length"),
  ),
  Row(
    "queries without room for special tokens",
    student({}, "--config.data.query_length=1"),
    ("config.data.query_length is 1", "student alone take 2"),
  ),
  Row(
    "another shape than the config's",
    student({}, keys=dict(width=16, heads=2)),
    ("config.models.student.width is 16", "8"),
  ),
  Row(
    "layers that there are not",
    student({}, keys=dict(layers=(0, 5))),
    ("config.models.student.layers", "layers 0 to 0"),
  ),
]
_POSITION = "embeddings.position_embeddings.weight"
ROWS = [*_THERE, *_FILES, *_TENSORS, *_CONFIGS]
