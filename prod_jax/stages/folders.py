"""A model's folder of weights: where it is, and what it says of the model.

What the config leaves open is taken from the folder, and what contradicts the
folder is an error: two descriptions of one model, and one of them wrong.
"""

import dataclasses
import difflib
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from absl import logging

from prod_jax import config, model_kinds, packaged, run_files, strict
from prod_jax.batches import classes, rows, tokens
from prod_jax.batches.settings import read_settings
from prod_jax.models import (
  Encoder,
  colbert,
  cross_modules,
  hf,
  hub,
  sentence_transformers,
  weights,
)
from prod_jax.models.cross import Head
from prod_jax.models.dual import Dense
from prod_jax.models.families import description
from prod_jax.models.families.description import CONFIG
from prod_jax.models.sentence_transformers import Described
from prod_jax.models.weights import WeightsError

PyTree = Any

PACKAGED = "packaged"


class Settled(NamedTuple):
  """A model, with nothing left open.

  Attributes:
    model: its section of the config, filled in.
    encoder: folder of the encoder's own files, None without weights.
    described: what sentence-transformers' files say, where there are any.
    head: of the sequence classifier in the folder, where it is one.
    scores: a cross-encoder's linear head, where modules.json names one.
    late: what a ColBERT folder says, where it is one.
  """

  model: model_kinds.Model
  encoder: pathlib.Path | None = None
  described: Described | None = None
  head: Head | None = None
  scores: cross_modules.Scores | None = None
  late: colbert.Described | None = None

  @property
  def dense(self) -> tuple[Dense, ...]:
    """The layers behind the pooling."""
    described = self.described.dense if self.described else ()
    return tuple(layer for layer, _ in described)


def weights_folder(
  model: model_kinds.Model, where: str = "weights"
) -> pathlib.Path:
  """Where the weights of a model with weights are.

  Raises:
    ConfigError: they are not there; `where` is the key.
  """
  if model.weights == PACKAGED:
    return packaged_folder(where)
  folder, meant = pathlib.Path(model.weights), near(model.weights)
  if not folder.is_dir() and hub.is_name(model.weights):
    try:
      folder = hub.cached(model.weights)
    except hub.NotCached as error:
      raise strict.ConfigError(f"{where}: {error}{meant}") from error
  if not folder.is_dir():
    raise strict.ConfigError(
      f"{where} is {model.weights!r}, and {absent(model.weights)}; it takes a "
      f"folder with {CONFIG} and {weights.WEIGHTS}, or a hub's "
      f"NAME/MODEL{meant}"
    )
  try:
    encoder = sentence_transformers.encoder_folder(folder)
    description.check_family(encoder)
    weights.files(encoder)
  except WeightsError as error:
    raise strict.ConfigError(f"{where}: {error}") from error
  return folder


def absent(folder: str) -> str:
  """What is in the place of a folder that is not there."""
  is_file = pathlib.Path(folder).is_file()
  return "that is a file" if is_file else "there is no such folder"


def near(folder: str) -> str:
  """The folder that was perhaps meant by one that is not there, to be added."""
  path = pathlib.Path(folder)
  if path.exists():
    return ""
  names = [p.name for p in path.parent.glob("*/")]
  meant = difflib.get_close_matches(path.name, names, 1)
  return f"; did you mean {str(path.with_name(meant[0]))!r}?" if meant else ""


def packaged_folder(where: str) -> pathlib.Path:
  """The folder of `PACKAGED`; ConfigError, with the key, where it is not."""
  try:
    return packaged.model_folder()
  except (ModuleNotFoundError, FileNotFoundError, ValueError) as error:
    raise strict.ConfigError(f"{where} is {PACKAGED!r}: {error}") from error


def settled(where: str, model: model_kinds.Model) -> Settled:
  """A model with what its folder says filled in.

  Args:
    where: its section, for errors.
    model: its content.

  Raises:
    ConfigError: the folder cannot be read, says something that we do not
      compute, or contradicts the config.
  """
  try:
    return _settled(where, model)
  except strict.FieldError as error:
    raise strict.ConfigError(f"{where}.{error}") from error


def _settled(where: str, model: model_kinds.Model) -> Settled:
  if not model.weights:
    return Settled(_defaults(model))
  folder = weights_folder(model, f"{where}.weights")
  try:
    encoder = sentence_transformers.encoder_folder(folder)
    if isinstance(model, model_kinds.Cross | model_kinds.Pairwise):
      scores = cross_modules.read(folder)
      head = Head(scores.pooling) if scores else hf.read_head(encoder)
      return Settled(
        _of_head(where, model, head), encoder, head=head, scores=scores
      )
    if isinstance(model, model_kinds.Late):
      late = colbert.read(folder)
      return Settled(_of_colbert(where, model, late), encoder, late=late)
    described = sentence_transformers.read(folder)
  except WeightsError as error:
    raise strict.ConfigError(f"{where}.weights: {error}") from error
  if described is None:
    return Settled(_defaults(model), encoder)
  return Settled(_of_modules(where, model, described), encoder, described)


def load(settled: Settled, encoder: Encoder) -> tuple[PyTree, PyTree]:
  """The weights of a tower, and those of the parts behind it that are there.

  Args:
    settled: a model with a folder.
    encoder: that it describes.

  Raises:
    ConfigError: a tensor holds what is no number.
  """
  assert settled.encoder is not None
  shape, layers = encoder.transformer, settled.model.layers or None
  try:
    tower = hf.load(settled.encoder, shape, layers=layers)
    gives_types = _gives_types(settled.model, settled.encoder)
    if settled.head and "type" in tower and not gives_types:
      # The classifier has seen both texts of a pair as of the first type.
      logging.info(
        "%s: its tokenizer gives no token types, so that both texts of a pair "
        "are read as of the first, as in transformers",
        settled.encoder,
      )
      table = tower["type"]["embedding"]
      table[:] = table[0]
    return tower, load_behind(settled, shape.width)
  except WeightsError as error:
    raise strict.ConfigError(str(error)) from error


def _gives_types(model: model_kinds.Model, encoder: pathlib.Path) -> bool:
  """Whether the model's own tokenizer, where it has one, gives token types."""
  folder = pathlib.Path(model.tokenizer or encoder)
  if not tokens.holds_tokenizer(folder):
    return True
  return classes.gives_types(folder, read_settings(folder))


def trained(path: pathlib.Path) -> PyTree:
  """The weights that a train stage has left.

  Raises:
    ConfigError: they are damaged.
  """
  try:
    return hf.load_params(path)
  except WeightsError as error:
    raise strict.ConfigError(str(error)) from error


def load_behind(settled: Settled, width: int) -> PyTree:
  """The parts behind an encoder of a width that its folder holds."""
  loaded = {}
  if settled.scores:
    loaded["head"] = cross_modules.load(settled.scores, width)
  elif settled.encoder and settled.head:
    loaded["head"] = hf.load_head(settled.encoder, settled.head)
  if settled.described and settled.described.dense:
    loaded["dense"] = sentence_transformers.load_dense(settled.described, width)
  if settled.late and settled.late.projection:
    loaded["projection"] = colbert.load_projection(settled.late, width)
  return loaded


def too_long(settled: Settled, data: config.Data) -> str:
  """What is said of texts longer than those that a model was made for."""
  if settled.encoder is None:
    return ""
  longest = rows.longest(settled.model.kind, data)
  described = settled.described or settled.late
  limit = (
    described.max_length
    if described
    else sentence_transformers.max_length(settled.encoder)
  )
  if not 0 < limit < longest:
    return ""
  return (
    f"texts have {longest} tokens, and the folder {settled.encoder} says "
    f"{limit} at most"
  )


def fingerprint(model: model_kinds.Model) -> dict[str, Any]:
  """All that decides a model: its config and its first weights.

  Of a hub's model also the commit that is here: a name alone says none.
  """
  said = strict.plain(model)
  for key in ("weights", "tokenizer"):
    if is_here(said[key]):
      said[key] = (
        run_files.ANY_FOLDER
      )  # wherever it lies: what is in it is what counts
  found = {
    "model": said,
    "weights": " ".join(map(packaged.sha256, files(model))),
  }
  if not is_here(model.weights) and hub.is_name(model.weights):
    found["commit"] = hub.cached(model.weights).name
  if model.weights and isinstance(
    model, model_kinds.Cross | model_kinds.Pairwise
  ):
    encoder = sentence_transformers.encoder_folder(weights_folder(model))
    if not _gives_types(model, encoder):
      found["token_types"] = False  # of a pair: it is read as one text
  return found


def is_here(weights: str) -> bool:
  """Whether weights are named by a folder, not by a name on a hub."""
  return bool(weights) and pathlib.Path(weights).is_dir()


def files(model: model_kinds.Model) -> tuple[pathlib.Path, ...]:
  """All files that decide a model; none where it has no weights."""
  if not model.weights:
    return ()
  folder = weights_folder(model)
  encoder = sentence_transformers.encoder_folder(folder)
  found = [encoder / CONFIG, *weights.files(encoder)]
  if isinstance(model, model_kinds.Dual):
    found += sentence_transformers.files(folder)
  if isinstance(model, model_kinds.Cross | model_kinds.Pairwise):
    scores = cross_modules.read(folder)
    found += scores.files if scores else ()
  if isinstance(model, model_kinds.Late):
    found += colbert.files(folder)
  return tuple(found)


def _defaults(model: model_kinds.Model) -> model_kinds.Model:
  """Without a folder that says otherwise."""
  match model:
    case model_kinds.Dual():
      return dataclasses.replace(
        model,
        pooling=model.pooling or "cls",
        similarity=model.similarity or "dot",
      )
    case model_kinds.Late():
      return model
    case _:
      return dataclasses.replace(model, pooling=model.pooling or "cls")


def _of_head(
  where: str,
  model: model_kinds.Cross | model_kinds.Pairwise,
  head: Head | None,
) -> model_kinds.Model:
  """With the pooling of its head.

  Raises:
    ConfigError: pooling or labels are others than the config says.
  """
  labels = head.labels if head else 0
  if (labels == 2) != model.difference:
    raise strict.ConfigError(
      f"{where}.weights is {model.weights!r}, whose head has {labels} labels; "
      f"{'set' if labels == 2 else 'leave out'} {where}.difference=True, with "
      "which the score is the second label less the first"
    )
  if head is None:
    return _defaults(model)
  if model.pooling not in ("", head.pooling):
    raise _contradiction(where, "pooling", model.pooling, head.pooling)
  pooling: Any = head.pooling
  return dataclasses.replace(model, pooling=pooling)


def _of_modules(
  where: str, model: model_kinds.Dual, described: Described
) -> model_kinds.Model:
  """With pooling, similarity and prompts of sentence-transformers' files."""
  if model.pooling not in ("", described.pooling):
    raise _contradiction(where, "pooling", model.pooling, described.pooling)
  # Dots of unit vectors are cosines.
  theirs = "cosine" if described.normalize else described.similarity
  if theirs and model.similarity not in ("", theirs):
    raise _contradiction(where, "similarity", model.similarity, theirs)
  return dataclasses.replace(
    model,
    pooling=described.pooling,
    # That of sentence-transformers, where nobody names one.
    similarity=theirs or model.similarity or "cosine",
    prompts=_prompts(model, described.prompts),
  )


def _of_colbert(
  where: str, model: model_kinds.Late, described: colbert.Described | None
) -> model_kinds.Late:
  """With projection, masks, skipped words and prompts of its folder."""
  if described is None:
    return model
  theirs: dict[str, Any] = {
    "projection": described.projection,
    "mask_queries": described.mask_queries,
    "hide_masks": described.hide_masks,
    "skip": described.skip,
  }
  for key, value in theirs.items():
    given = getattr(model, key)
    if given and given != value:
      raise _contradiction(where, key, given, value)
  prompts = _prompts(model, described.prompts)
  return dataclasses.replace(model, **theirs, prompts=prompts)


def _prompts(
  model: model_kinds.Dual | model_kinds.Late, theirs: Mapping[str, str]
) -> dict[str, str]:
  """The folder's prompts, each in the words of the config where it has some."""
  both = {**theirs, **model.prompts}
  return {role: prompt for role, prompt in both.items() if prompt}


def _contradiction(
  where: str, key: str, given: Any, theirs: Any
) -> strict.ConfigError:
  return strict.ConfigError(
    f"{where}.{key} is {given!r}, and the folder of its weights says "
    f"{theirs!r}; leave it out, or take the encoder's files alone"
  )
