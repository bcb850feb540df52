"""README.md of an export: what the model is, where it came from, how to use it.

What a run does not know, such as a licence, is said to be unknown.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from prod_jax import model_kinds
from prod_jax.export import folder, lineage, snippets
from prod_jax.export.finished import Trained
from prod_jax.models.dual import DualEncoder
from prod_jax.report import tables

UNKNOWN = "unknown: fill in"
# The hub's name of the weights that the extra `quickstart` brings.
_PACKAGED = "sentence-transformers/all-MiniLM-L6-v2"
_ENGLISH = ("pydocs", "msmarco_passage", "msmarco_document", "nq")


class Where(NamedTuple):
  """Where a user finds an export: in a folder, or by an id on a hub."""

  name: str
  is_id: bool = False

  @property
  def folder(self) -> str:
    """The folder, on a hub the one that its files are fetched to."""
    return self.name.rpartition("/")[2] if self.is_id else self.name


def write(
  path: pathlib.Path,
  trained: Trained,
  where: Where,
  quality: Mapping[str, Any],
) -> None:
  """Writes the card of an export.

  Args:
    path: of the file.
    trained: whose model it is.
    where: a user finds the export.
    quality: of its graphs, as export.json has it; {} where it has none.
  """
  sections = [
    _front_matter(trained),
    _head(trained),
    _use(trained, where, bool(quality)),
    _texts(trained),
    _curriculum(trained),
    *([_graphs(quality)] if quality else []),
    _data(trained),
  ]
  path.write_text("\n".join(sections), encoding="utf-8")


def _front_matter(trained: Trained) -> str:
  """What a hub reads. A JSON value is a YAML value."""
  cross = trained.model.kind == "cross"
  said: dict[str, Any] = {
    "library_name": "sentence-transformers",
    "pipeline_tag": "text-ranking" if cross else "sentence-similarity",
    "license": "unknown",
    "tags": [
      "sentence-transformers",
      "cross-encoder" if cross else "feature-extraction",
      "dense-retrieval",
      "distillation",
      "prod_jax",
    ],
  }
  if trained.run.config.data.name in _ENGLISH:
    said["language"] = "en"
  if trained.model.weights == "packaged":
    said["base_model"] = _PACKAGED
  lines = [f"{key}: {json.dumps(value)}" for key, value in said.items()]
  return "\n".join(["---", *lines, "---", ""])


def _head(trained: Trained) -> str:
  shape, model = trained.encoder.transformer, folder.model_of(trained)
  what = (
    "A cross-encoder, which scores a query and a passage together"
    if model.kind == "cross"
    else "A dual encoder for dense retrieval"
  )
  taught = lineage.taught_by(trained)
  by = f"taught by {', '.join(taught)}" if taught else "trained on labels"
  return "\n".join(
    [
      f"# {trained.name}",
      "",
      f"{what}: {shape.depth} layers of width {shape.width}, "
      f"{model.pooling} pooling, {by}. Made with prod_jax (progressive "
      "distillation for dense retrieval, arXiv 2209.13335).",
      "",
    ]
  )


def _use(trained: Trained, where: Where, has_graphs: bool) -> str:
  data, model = trained.run.config.data, trained.model
  reads_files = False
  if not isinstance(model, model_kinds.Dual):
    found = snippets.of_cross(where.name)
  else:
    encoder = trained.encoder
    assert isinstance(encoder, DualEncoder)
    reads_files = has_graphs or not model.tied
    use = snippets.Use(
      query=where.name if model.tied else f"{where.folder}/query",
      passage=where.name if model.tied else f"{where.folder}/passage",
      folder=where.folder,
      query_length=data.query_length,
      passage_length=data.passage_length,
      prompts=trained.prompts,
      pooling=model.pooling,
      cosine=model.similarity == "cosine",
      width=encoder.width,
    )
    found = snippets.of_dual(use)
    if encoder.dense:
      del found["transformers"]  # where the dense layers are not
    if has_graphs:
      found |= snippets.of_graphs(use)
  lines = ["## Use", ""]
  if where.is_id and reads_files:
    fetch = f"hf download {where.name} --local-dir {where.folder}"
    lines += [f"Where a snippet names files, fetch them first: `{fetch}`.", ""]
  for title, code in found.items():
    lines += [f"With {title}:", "", f"```python\n{code}```", ""]
  return "\n".join(lines)


def _texts(trained: Trained) -> str:
  data = trained.run.config.data
  rows: list[tuple[str, Any]] = [
    ("tokens of a query", data.query_length),
    ("tokens of a passage", data.passage_length),
    ("title and passage are joined by", _quoted(data.title_join)),
  ]
  if not isinstance(trained.model, model_kinds.Dual):
    rows.append(("tokens of a query and a passage", trained.longest))
  else:
    rows += [
      (f"prompt of a {role}", _quoted(text) if text else "none")
      for role, text in trained.prompts.items()
    ]
    rows.append(("similarity", trained.model.similarity))
  note = (
    "Lengths are those of training, special tokens counted; longer texts are "
    f"cut. `max_seq_length` of the folder is {trained.longest}."
  )
  if not isinstance(trained.model, model_kinds.Dual):
    note += (
      " The run cuts a query and a passage each to its own length, and a "
      "CrossEncoder a long pair as a whole: cut both beforehand for the scores "
      "of the run, which are logits."
    )
  return "\n".join(["## Texts", "", *_table(("", ""), rows), "", note, ""])


def _curriculum(trained: Trained) -> str:
  """Each train stage that the model depends on, with what was measured.

  Before them its first weights, where they were measured as they are.
  """
  left = trained.left
  stages = [s for s in lineage.upstream(trained) if s.kind == "train"]
  own = [n for n in left.as_they_are if n == trained.stage.model]
  measured = {
    n: left.measured.get(n) for n in (*own, *(s.name for s in stages))
  }
  metrics = list(
    dict.fromkeys(
      metric for found in measured.values() if found for metric in found.values
    )
  )

  def values(name: str) -> list[str]:
    return [tables.number(left.value(name, metric)) for metric in metrics]

  nothing = [tables.ABSENT] * len(_SETTINGS)
  rows: list[Sequence[Any]] = [
    (n, n, tables.AS_IT_IS, *nothing, *values(n)) for n in own
  ]
  rows += [
    (
      stage.name,
      stage.model,
      stage.taught_by,
      *(stage.settings.get(k) for k in _SETTINGS),
      *values(stage.name),
    )
    for stage in stages
  ]
  head = ("stage", "model", "taught by", *_SETTINGS.values(), *metrics)
  lines = ["## Curriculum", "", *_table(head, rows), ""]
  if metrics:
    lines += [f"Measured on {tables.scope(left)}.", ""]
  reranked = [n for n, f in measured.items() if f and f.index == "rerank"]
  if reranked:
    lines += [f"{', '.join(reranked)}: of lists that were reranked.", ""]
  return "\n".join(lines)


_SETTINGS = {
  "method": "method",
  "steps": "steps",
  "batch_size": "batch",
  "learning_rate": "learning rate",
}


def _graphs(quality: Mapping[str, Any]) -> str:
  """What the model is worth as ONNX, beside our own vectors."""
  forms, sample = quality["forms"], quality["sample"]
  metrics = list(forms["prod_jax"]["figures"])
  rows = [
    (
      form,
      f"{found['bytes'] / 1e6:.1f}" if "bytes" in found else "",
      f"{found['difference']:.1e}" if "difference" in found else "",
      *(tables.number(found["figures"][metric]) for metric in metrics),
    )
    for form, found in forms.items()
  ]
  part = "all" if sample["whole"] else "a part"
  of = (
    f"in {sample['passages']} passages, {part} of the set"
    if sample["list"] is None
    else f"with lists of {sample['list']} passages, labelled and drawn"
  )
  output = "logits" if sample["list"] else "sentence_embedding"
  head = ("form", "MB", "largest difference", *metrics)
  return "\n".join(
    [
      "## As ONNX",
      "",
      "`onnx/model.onnx`, and with `--int8` `onnx/model_int8.onnx`: inputs "
      "`input_ids`, `attention_mask` and perhaps `token_type_ids`, outputs "
      f"`last_hidden_state` and `{output}`.",
      "",
      *_table(head, rows),
      "",
      f"Measured on {sample['queries']} queries of split {sample['split']} "
      f"{of}.",
      "",
    ]
  )


def _data(trained: Trained) -> str:
  config = trained.run.config
  taught = [t.model for t in lineage.teachers(trained) if t.model]
  rows: list[tuple[str, str, str]] = [
    (f"data set {trained.left.dataset}", config.data.name, UNKNOWN)
  ]
  rows += [
    (
      f"first weights of {name}",
      _weights(trained, name),
      _licence(trained, name),
    )
    for name in (trained.stage.model, *taught)
  ]
  rows += [
    (f"imported by {name}", path.name, UNKNOWN)
    for name, path in lineage.imported(trained).items()
  ]
  rows.append(("this model", trained.name, UNKNOWN))
  return "\n".join(
    [
      "## Data, teachers and licences",
      "",
      *_table(("", "name", "licence"), rows),
      "",
      "`provenance.json` has the hashes of the data, of each stage and of the "
      "files in this folder, the whole config, its seed, and versions.",
      "",
    ]
  )


def _weights(trained: Trained, name: str) -> str:
  weights = trained.run.model_config(name).weights
  if weights == "packaged":
    return _PACKAGED
  return lineage.named(weights) if weights else "random"


def _licence(trained: Trained, name: str) -> str:
  weights = trained.run.model_config(name).weights
  if weights == "packaged":
    return "Apache-2.0"
  return UNKNOWN if weights else "-"


def _table(head: Sequence[Any], rows: Sequence[Sequence[Any]]) -> list[str]:
  lines = [head, ["---"] * len(head), *rows]
  return [tables.line([*map(str, cells)]) for cells in lines]


def _quoted(text: str) -> str:
  """Shows where it begins and ends."""
  return json.dumps(text, ensure_ascii=False)
