"""Folders of sentence-transformers, of classifiers, and of ColBERT."""

import json
import pathlib
from collections.abc import Callable, Mapping

import numpy as np

from tests.bad_inputs import made
from tests.bad_inputs.models import CONFIG, WEIGHTS, student
from tests.bad_inputs.row import Line, Row

_ST = "sentence_transformers.models."
_MODULES, _SETTINGS, _LENGTH = (
  "modules.json",
  "config_sentence_transformers.json",
  "sentence_bert_config.json",
)
_META = "artifact.metadata"
_LINEAR = np.ones((4, 8), np.float32)


def _listed(*kinds: str, **said: Mapping[str, object]) -> made.Files:
  """Modules of these kinds, and what the config.json of each says."""
  modules, files = [], {}
  for number, kind in enumerate(kinds):
    name = kind.rpartition(".")[2]
    path = f"{number}_{name}" if number else ""
    modules.append({"type": kind if "." in kind else _ST + kind, "path": path})
    if name in said:
      files[f"{path}/{CONFIG}"] = json.dumps(said[name])
  return {_MODULES: json.dumps(modules), **files}


def pooled() -> made.Files:
  """A Transformer and a Pooling."""
  said = {"pooling_mode": "mean"}
  return _listed("Transformer", "Pooling", Pooling=said)


def _pooled(
  pooling: Mapping[str, object] | None = None,
  *,
  settings: object = None,
  lengths: object = None,
  keys: Mapping[str, object] | None = None,
) -> Line:
  """A Transformer and a Pooling, with what the files beside them say."""
  said = {"pooling_mode": "mean"} | dict(pooling or {})
  files = dict(_listed("Transformer", "Pooling", Pooling=said))
  if settings is not None:
    files[_SETTINGS] = json.dumps(settings)
  if lengths is not None:
    files[_LENGTH] = json.dumps(lengths)
  return student(files, keys=keys)


def _dense(**said: object) -> Line:
  """A Dense behind the pooling, without weights."""
  layer = {"out_features": 4, "activation_function": _IDENTITY} | said
  files = _listed(
    "Transformer",
    "Pooling",
    "Dense",
    Pooling={"pooling_mode": "mean"},
    Dense=layer,
  )
  return student(files)


def _teacher(
  folder_of: Callable[[pathlib.Path], pathlib.Path], **keys: object
) -> Line:
  """A cross-encoder that scores as it is."""

  def line(folder: pathlib.Path) -> list[str]:
    weights = str(folder_of(folder / "model"))
    model = dict(kind="cross", weights=weights) | keys
    change = f"c.models.teacher = {model!r}; c.stages.score.params = 'teacher'"
    return made.line(folder, "--dry_run", change=change, variant="cross")

  return line


def _labels(count: int) -> Callable[[pathlib.Path], pathlib.Path]:
  """A classifier with so many labels."""

  def change(found: dict[str, np.ndarray]) -> None:
    for name in ("classifier.weight", "classifier.bias"):
      found[name] = np.concatenate([found[name]] * count)

  return lambda folder: made.classifier(
    folder, {WEIGHTS: made.tensors(change, made.classifier_folder)}
  )


def _stanford(
  content: made.Content = None,
  linear: np.ndarray | None = _LINEAR,
  **said: object,
) -> Line:
  """A ColBERT folder with this metadata, or what it says."""
  # The vocabulary has no punctuation.
  text = json.dumps({"mask_punctuation": False} | said)

  def files() -> made.Files:
    more = {} if linear is None else {"linear.weight": linear}
    weights = made.tensors(lambda found: found.update(more))
    return {WEIGHTS: weights, _META: content if content is not None else text}

  return student(files, kind="late")


def _pylate(
  settings: Mapping[str, object] | None = None,
  lengths: Mapping[str, object] | None = None,
  **said: Mapping[str, object],
) -> Line:
  """Modules that give a vector for each token."""
  layer = {"out_features": 4, "activation_function": _IDENTITY, "bias": False}
  modules = {"Dense": layer, "MultiVectorMask": {}, "Normalize": {}} | said
  kinds = ("Transformer", "Dense", "MultiVectorMask", "Normalize")
  return student(
    {
      **_listed(*kinds, **modules),
      _SETTINGS: json.dumps(settings or {}),
      _LENGTH: json.dumps(lengths or {}),
    },
    kind="late",
  )


_IDENTITY = "torch.nn.modules.linear.Identity"
_OUTSIDE = json.dumps([{"type": f"{_ST}Transformer", "path": "../.."}])
_OF_ST = [
  Row(
    "a modules.json that is cut",
    student({_MODULES: "["}),
    (_MODULES, "no JSON"),
  ),
  Row(
    "a modules.json of an object", student({_MODULES: "{}"}), (_MODULES, "list")
  ),
  Row("a modules.json of nothing", student({_MODULES: "[]"}), (_MODULES,)),
  Row(
    "a module of somebody's code",
    student(_listed("Transformer", "mine.Pooling")),
    (_MODULES, "mine.Pooling"),
  ),
  Row(
    "a module outside of the folder",
    student({_MODULES: _OUTSIDE}),
    (_MODULES, "'../..'"),
  ),
  Row("a CLIP model", student(_listed("CLIPModel")), (_MODULES, "Transformer")),
  Row(
    "no folder of the pooling",
    student(_listed("Transformer", "Pooling")),
    ("1_Pooling",),
  ),
  Row(
    "a pooling that we do not compute",
    _pooled({"pooling_mode": "weightedmean"}),
    ("1_Pooling", "weightedmean"),
  ),
  Row(
    "a pooling of two modes",
    _pooled({"pooling_mode": ["mean", "cls"]}),
    ("1_Pooling", "mean and cls"),
  ),
  Row(
    "a pooling of an object",
    _pooled({"pooling_mode": {"mean": 1}}),
    ("1_Pooling", "pooling"),
  ),
  Row(
    "a pooling of another width",
    _pooled({"word_embedding_dimension": 384}),
    ("1_Pooling", "384"),
  ),
  Row(
    "a pooling's width of a text",
    _pooled({"word_embedding_dimension": "8"}),
    ("1_Pooling", "'8'"),
  ),
  Row(
    "a pooling that the config contradicts",
    _pooled(keys=dict(pooling="cls")),
    ("config.models.student.pooling is 'cls'", "'mean'"),
  ),
  Row("a dense layer without weights", _dense(), ("2_Dense", "no weights")),
  Row(
    "a dense layer that we do not compute",
    _dense(activation_function="x"),
    ("2_Dense", "activation_function"),
  ),
  Row(
    "a dense layer whose width is a text",
    _dense(out_features="4"),
    ("2_Dense", "out_features"),
  ),
  Row(
    "prompts that are a list",
    _pooled(settings={"prompts": ["a"]}),
    (_SETTINGS, "prompts"),
  ),
  Row(
    "a prompt that is a number",
    _pooled(settings={"prompts": {"query": 3}}),
    (_SETTINGS, "prompt of a query is 3"),
  ),
  Row(
    "a default prompt that is not there",
    _pooled(settings={"prompts": {"a": "b"}, "default_prompt_name": "c"}),
    (_SETTINGS, "default_prompt_name is 'c'"),
  ),
  Row(
    "a default prompt that is a list",
    _pooled(settings={"prompts": {}, "default_prompt_name": ["a"]}),
    (_SETTINGS, "default_prompt_name"),
  ),
  Row("settings that are a list", _pooled(settings=[]), (_SETTINGS, "object")),
  Row(
    "a similarity that we do not compute",
    _pooled(settings={"similarity_fn_name": "manhattan"}),
    (_SETTINGS, "manhattan"),
  ),
  Row(
    "a pooling that we do not compute, of a family that we do not know",
    student(
      {
        **_listed("Transformer", "Pooling", Pooling={"pooling_mode": "x"}),
        CONFIG: '{"model_type": "gpt2"}',
      }
    ),
    (CONFIG, "'gpt2', a family that is not read"),
  ),
  Row(
    "a length below 0",
    _pooled(lengths={"max_seq_length": -3}),
    (_LENGTH, "max_seq_length is -3"),
  ),
  Row(
    "a length that is a text",
    _pooled(lengths={"max_seq_length": "long"}),
    (_LENGTH, "max_seq_length"),
  ),
]
_HEADS = [
  Row(
    "an encoder as a cross-encoder as it is",
    _teacher(made.encoder),
    ("config.stages.score.params is 'teacher'", "head"),
  ),
  Row("a head of three labels", _teacher(_labels(3)), (WEIGHTS, "3 labels")),
  Row(
    "a head of two labels, of which nothing is said",
    _teacher(_labels(2)),
    ("config.models.teacher", "2 labels", "difference=True"),
  ),
  Row(
    "a head of one label, taken for two",
    _teacher(made.classifier, difference=True),
    ("config.models.teacher", "1 labels", "difference=True"),
  ),
  Row(
    "a head of another pooling",
    _teacher(made.classifier, pooling="mean"),
    ("config.models.teacher.pooling is 'mean'", "'cls'"),
  ),
]
_COLBERT = [
  Row("ColBERT: no projection", _stanford("{}", None), ("linear.weight",)),
  Row(
    "ColBERT: a projection, and nothing that says what it is",
    student(
      lambda: {
        WEIGHTS: made.tensors(lambda t: t.update({"linear.weight": _LINEAR}))
      },
      kind="late",
    ),
    (_META, "HF_ColBERT"),
  ),
  Row(
    "ColBERT: a projection of another width",
    _stanford(linear=_LINEAR[:, :6]),
    (WEIGHTS, "linear.weight"),
  ),
  Row(
    "ColBERT: another width than is said",
    _stanford(dim=128),
    (_META, "dim is 128"),
  ),
  Row("ColBERT: metadata that is cut", _stanford("{"), (_META, "JSON")),
  Row("ColBERT: metadata of a list", _stanford("[]"), (_META, "object")),
  Row(
    "ColBERT: a similarity that we do not compute",
    _stanford(similarity="l2"),
    (_META, "similarity"),
  ),
  Row(
    "ColBERT: a marker that is a number",
    _stanford(query_token_id=3),
    (_META, "query_token_id"),
  ),
  Row(
    "ColBERT: a length that is a text",
    _stanford(query_maxlen="32"),
    (_META, "query_maxlen"),
  ),
  Row(
    "ColBERT: punctuation that is a text",
    _stanford(mask_punctuation="no"),
    (_META, "mask_punctuation"),
  ),
  Row(
    "ColBERT: a length that the config contradicts",
    _stanford(query_maxlen=64),
    ("config.data.query_length is 8", "64"),
  ),
  Row(
    "ColBERT: architectures that are a number",
    student(lambda: {CONFIG: made.settings(architectures=3)}, kind="late"),
    (CONFIG, "architectures"),
  ),
  Row(
    "ColBERT: skipped words that are a number",
    _pylate(MultiVectorMask={"skiplist_words": 3}),
    ("2_MultiVectorMask", "skiplist_words"),
  ),
  Row(
    "ColBERT: skipped words of which one is a number",
    _pylate(MultiVectorMask={"skiplist_words": ["a", 3]}),
    ("2_MultiVectorMask", "skiplist_words"),
  ),
  Row(
    "ColBERT: a prefix that is a number",
    _pylate({"model_type": "ColBERT", "query_prefix": 3}),
    (_SETTINGS, "query_prefix"),
  ),
  Row(
    "ColBERT: an expansion that is a text",
    _pylate(lengths={"query_expansion": "yes"}),
    ("query_expansion is yes",),
  ),
  Row(
    "ColBERT: an expansion of a length that is a text",
    _pylate(lengths={"query_expansion": {"strategy": "fixed", "length": "8"}}),
    ("query_expansion",),
  ),
  Row(
    "ColBERT: a marker that is no token",
    _stanford(query_token_id="[query]", query_maxlen=8),
    ("config.models.student.weights", "'[query]'", "no such token"),
  ),
  Row(
    "ColBERT: a length of passages that is a text",
    _pylate(lengths={"document_length": "long"}),
    (_LENGTH, "document_length"),
  ),
  Row(
    "ColBERT: a projection with a bias",
    _pylate(Dense={"out_features": 4, "activation_function": _IDENTITY}),
    ("1_Dense", "bias"),
  ),
]
ROWS = [*_OF_ST, *_HEADS, *_COLBERT]
