"""What stages of every kind read: collection, tokens, models, their weights."""

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from absl import logging

from prod_jax import config, packaged, sharding, strict
from prod_jax.data import dataset as datasets
from prod_jax.data import tokens
from prod_jax.group import Group
from prod_jax.methods.scoring import Encoder
from prod_jax.models import hf
from prod_jax.models.cross import CrossEncoder
from prod_jax.models.dual import DualEncoder
from prod_jax.models.late import LateInteraction
from prod_jax.stages import encoders

PARAMS = "params.safetensors"
# Keys of config.data that the fingerprints of set and tokenizer speak for.
_IN_FINGERPRINTS = (
  "path",
  "titles",
  "max_characters",
  "data_dir",
  "tokenizer",
)
# What kind of stage may stand in a role of another one.
ROLES = {
  "anchor": ("mine",),
  "candidates": ("mine", "provided"),
  "clusters": ("cluster",),
  "dark": ("darken",),
  "encoded": ("encode",),
  "init": ("train",),
  "pairs": ("compare",),
  "params": ("train",),
  "queries": ("divide",),
  "rerank": ("train",),
  "scores": ("score", "encode"),
  "second": ("score",),
  "teacher": ("train",),
}


@dataclasses.dataclass(frozen=True)
class Inputs:
  """The shared inputs of a run. Nothing is opened before a stage asks for it.

  Attributes:
    config: of the whole run.
    group: its processes, and their working folder.
    beam: pipeline options of a Beam runner that is to prepare the data.
    devices: what the mesh is made of; None is all there are.
  """

  config: config.Config
  group: Group
  beam: tuple[str, ...] = ()
  devices: Sequence[jax.Device] | None = None

  @property
  def workdir(self) -> pathlib.Path:
    """The working folder on this machine."""
    return self.group.local

  @functools.cached_property
  def dataset(self) -> datasets.Dataset:
    data = self.config.data
    if data.name in ("folder", "beir") and not data.path:
      raise strict.ConfigError(
        f"config.data.path is not set: the folder that {data.name!r} reads"
      )
    return self.group.first_then_others(
      lambda: datasets.open_dataset(
        data.name,
        data.path,
        str(data.data_dir or self.workdir / "data"),
        on_error=data.on_error,
        max_queries=data.max_queries,
        max_passages=data.max_passages,
        titles=data.titles,
        max_characters=data.max_characters,
        beam=self.beam,
      )
    )

  @functools.cached_property
  def tokenizer(self) -> tokens.Tokenizer:
    folder = self.config.data.tokenizer
    return tokens.load_tokenizer(
      packaged.model_folder() if folder == "packaged" else pathlib.Path(folder)
    )

  @functools.cached_property
  def tokens(self) -> tokens.TokenisedDataset:
    """Tokens of passages and queries, cut to the configured lengths."""
    data = self.config.data
    dataset = self.dataset
    return self.group.first_then_others(
      lambda: tokens.tokenise_dataset(
        dataset,
        self.tokenizer,
        self.workdir / "tokens",
        title_join=data.title_join,
        max_tokens=max(data.passage_length, data.query_length),
      )
    )

  @functools.cached_property
  def mesh(self) -> jax.sharding.Mesh:
    """All devices of all processes, to train on."""
    return sharding.make_mesh(self.config.mesh, self.devices)

  def check_mesh(self, where: str, name: str) -> None:
    """Raises ConfigError for a model that the mesh cannot be laid over."""
    model, tensor = self.model(name), self.mesh.shape["tensor"]
    if model.bert.heads % tensor:
      raise strict.ConfigError(
        f"{where}.model: {name} has {model.bert.heads} attention heads, which "
        f"do not divide by config.mesh.tensor={tensor}"
      )
    sharding.shardings(_shapes(model), self.mesh)

  def check_roles(self, name: str, roles: Mapping[str, str]) -> None:
    """Raises ConfigError where an input is of a kind that its role is not."""
    for role, source in roles.items():
      kind = self.config.stages[source].kind
      if kind not in ROLES[role]:
        raise strict.ConfigError(
          f"config.stages.{name}.{role} is {source!r}, a stage of kind {kind}; "
          f"it takes one of kind {' or '.join(ROLES[role])}"
        )

  def check_trains(self, where: str, source: str, kinds: Sequence[str]) -> None:
    """Raises ConfigError unless train stage `source` trains one of `kinds`."""
    model = self.config.stages[source].model
    kind = self._model_config(model).kind
    if kind not in kinds:
      raise strict.ConfigError(
        f"{where} is {source!r}, which trains a model of kind {kind}; it takes "
        f"one of kind {' or '.join(kinds)}"
      )

  def check_encoded(self, name: str, encoded: str, split: str) -> None:
    """Raises ConfigError when encode stage `encoded` leaves out a split."""
    splits = self.config.stages[encoded].splits
    if split not in splits:
      raise strict.ConfigError(
        f"config.stages.{name} reads split {split!r}, but {encoded} encodes "
        f"{', '.join(splits)}"
      )

  def check_scored(self, name: str, scores: str, candidates: str) -> None:
    """Raises ConfigError when `scores` are not those of the candidates."""
    scored = getattr(self.config.stages[scores], "candidates", None)
    if scored != candidates:
      raise strict.ConfigError(
        f"config.stages.{name}.candidates is {candidates!r}, but {scores} "
        f"scored {f'the lists of {scored!r}' if scored else 'no lists'}"
      )

  def model_of(self, source: str) -> Encoder:
    """The encoder that train stage `source` trains."""
    return self.model(self.config.stages[source].model)

  def model(self, name: str) -> Encoder:
    """The encoder that `config.models.<name>` describes."""
    model = self._model_config(name)
    bert = encoders.encoder_of(
      f"config.models.{name}",
      model,
      self.config.data,
      lambda: self.tokenizer.vocab_size,
    )
    if model.kind in ("cross", "pairwise"):
      return CrossEncoder(bert=bert, pooling=model.pooling)
    if model.kind == "late":
      return LateInteraction(
        bert=bert,
        tied=model.tied,
        projection=model.projection,
        mask_id=self.tokenizer.special.mask if model.mask_queries else None,
      )
    return DualEncoder(
      bert=bert,
      tied=model.tied,
      pooling=model.pooling,
      similarity=model.similarity,
      scale=model.scale,
    )

  def first_params(self, name: str, seed: int) -> Any:
    """Its weights before any training: loaded, or drawn from the seed.

    A loaded encoder fills every tower; heads and projections are drawn.
    """
    model, encoder = self.config.models[name], self.model(name)
    if not model.weights:
      return encoder.init(jax.random.key(seed))
    folder = encoders.weights_folder(model)
    loaded = hf.load(folder, encoder.bert, layers=model.layers or None)
    logging.info("model %s: weights of %s", name, folder)
    parts = _shapes(encoder).keys()
    heads = parts & {"head", "projection"}
    towers = {k: loaded for k in parts - heads}
    if not heads:
      return towers

    @jax.jit  # what is not asked for is not drawn
    def drawn(key: jax.Array) -> Any:
      return {k: v for k, v in encoder.init(key).items() if k in heads}

    return towers | drawn(jax.random.key(seed))

  def trained_params(self, folder: pathlib.Path) -> Any:
    """The weights that a train stage left in its folder."""
    return hf.load_params(folder / PARAMS)

  def copies(self, folder: pathlib.Path) -> sharding.Copies:
    """The same on each device of this process."""
    return sharding.copies(self.trained_params(folder))

  def seed(self, name: str) -> int:
    """A seed of its own for each stage, from the run's."""
    text = f"{self.config.seed}/{name}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") >> 1

  def model_fingerprint(self, name: str) -> dict[str, Any]:
    """All that decides a model: its config and its first weights."""
    model = self._model_config(name)
    weights = encoders.weights_folder(model) if model.weights else None
    return {
      "model": strict.plain(model),
      "weights": packaged.sha256(weights / hf.WEIGHTS) if weights else "",
    }

  def data_fingerprint(self) -> dict[str, Any]:
    """All that decides the tokens a stage sees."""
    return {
      "dataset": self.dataset.fingerprint,
      "tokenizer": self.tokenizer.fingerprint,
      "data": {
        k: v
        for k, v in strict.plain(self.config.data).items()
        if k not in _IN_FINGERPRINTS
      },
    }

  def _model_config(self, name: str) -> config.Model:
    if name not in self.config.models:
      known = ", ".join(self.config.models)
      raise strict.ConfigError(f"there is no model {name!r}; known: {known}")
    return self.config.models[name]


def _shapes(encoder: Encoder) -> Any:
  """Its parameters as jax.ShapeDtypeStruct, nothing computed."""
  return jax.eval_shape(lambda: encoder.init(jax.random.key(0)))
