"""A run and its jobs: all that a stage is given to work with.

`Run` has what stages share: collection, tokens, models, mesh, seeds. A `Job` is
one stage of it, with the folders that it reads and writes.
"""

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import jax
import numpy as np
from absl import logging

from prod_jax import config, kinds, model_kinds, profiling, sharding, strict
from prod_jax.batches import tokens
from prod_jax.models import Encoder, build
from prod_jax.processes import Processes
from prod_jax.retrieval import blocks
from prod_jax.retrieval.forward import FrozenModel
from prod_jax.retrieval.pieces import Pieces
from prod_jax.sets import dataset as datasets
from prod_jax.stages import accepted, encoders, folders
from prod_jax.stages import tokenizer as tokenizers
from prod_jax.trackers import Trackers

PARAMS = "params.safetensors"
# Keys of config.data that the fingerprints of set and tokenizers speak for.
_OF_SET = ("path", "titles", "max_characters", "data_dir", "own_documents")
_IN_FINGERPRINTS = (*_OF_SET, "tokenizer")

S = TypeVar("S", bound=kinds.Stage, covariant=True)
Judging = kinds.Divide | kinds.Filter | kinds.Denoise | kinds.Compare
OfLists = kinds.Train | Judging
Scoring = kinds.Score | kinds.Compare | kinds.Darken
OfTexts = kinds.Encode | Scoring | kinds.Gate | kinds.Evaluate


@dataclasses.dataclass(frozen=True)
class Run:
  """What all stages share. Nothing is opened before a stage asks for it.

  Attributes:
    config: of the whole run.
    processes: its processes, and their working folder.
    beam: pipeline options of a Beam runner that is to prepare the data.
    devices: what the mesh is made of; None is all there are.
    may_fetch: whether a data set that is not there may be downloaded.
    profile: of one of its stages, where somebody asked for it.
  """

  config: config.Config
  processes: Processes
  beam: tuple[str, ...] = ()
  devices: Sequence[jax.Device] | None = None
  may_fetch: bool = True
  profile: profiling.Profile = profiling.IDLE

  @property
  def workdir(self) -> pathlib.Path:
    """The working folder on this machine."""
    return self.processes.local_folder

  def stage(self, name: str) -> Any:
    """What the config says of a stage."""
    return self.config.stages[name]

  def folder(self, name: str) -> pathlib.Path:
    """Where a stage leaves its artefacts, `workdir/<nn>-<name>`."""
    number = list(self.config.stages).index(name)
    return self.workdir / f"{number:02d}-{name}"

  @functools.cached_property
  def located(self) -> datasets.Located:
    """The data set's files; what is not there is downloaded, if it may be."""
    data = self.config.data
    if data.name in ("folder", "beir") and not data.path:
      raise strict.ConfigError(
        f"config.data.path is not set: the folder that {data.name!r} reads"
      )
    data_dir = str(data.data_dir or self.workdir / "data")
    if not self.may_fetch:
      return datasets.locate(data, data_dir, may_fetch=False)
    return self.processes.first_then_others(
      lambda: datasets.locate(data, data_dir)
    )

  @functools.cached_property
  def trackers(self) -> Trackers:
    """Those of the config."""
    plain = strict.plain(self.config)
    return Trackers(self.config.trackers, self.processes, plain)

  @functools.cached_property
  def dataset(self) -> datasets.Dataset:
    """The data set, prepared now unless it was before."""
    located = self.located
    return self.processes.first_then_others(lambda: located.open(self.beam))

  def tokenizer_of(self, model: str = "") -> tokens.Tokenizer:
    """The tokenizer of a model, or that of the data for those without one."""
    key, source = tokenizers.source_of(self.config, model)
    if source not in self._tokenizers:
      self._tokenizers[source] = tokenizers.load(key, source)
    return self._tokenizers[source]

  def tokens_of(self, model: str = "") -> tokens.TokenisedDataset:
    """Passages and queries as a model reads them, cut to the longest length.

    All processes make them together, and models that agree share them.
    """
    tokenizer, prompts = self.tokenizer_of(model), self._prompts(model)
    key = (tokenizer.fingerprint, *sorted(prompts.items()))
    if key not in self._tokens:
      data, dataset = self.config.data, self.dataset
      self._tokens[key] = self.processes.first_then_others(
        lambda: tokens.tokenise_dataset(
          dataset,
          tokenizer,
          self.workdir / "tokens",
          title_join=data.title_join,
          max_tokens=max(data.passage_length, data.query_length),
          prompts=prompts,
        )
      )
    return self._tokens[key]

  def mask_id(self, model: str) -> int:
    """The id of [MASK]; ConfigError where the model's tokenizer has none."""
    return tokenizers.mask_id(self.config, model, self.tokenizer_of(model))

  def reads_alike(
    self, model: str, other: str, texts: Sequence[str] = ("query", "passage")
  ) -> bool:
    """Whether two models have the same tokens of the same texts."""
    one, two = self._prompts(model), self._prompts(other)
    if any(one.get(text) != two.get(text) for text in texts):
      return False
    sources = {
      tokenizers.source_of(self.config, name)[1] for name in (model, other)
    }
    if len(sources) == 1:
      return True
    # A plan may be made without them.
    return all(map(tokenizers.is_here, sources)) and (
      self.tokenizer_of(model).fingerprint
      == self.tokenizer_of(other).fingerprint
    )

  def check_tokenizer(self, model: str) -> None:
    """Raises ConfigError where model, lengths or prompts do not fit it."""
    rows = self.model(model).transformer.vocab_size
    tokenizer = self.tokenizer_of(model)
    tokenizers.check(self.config, model, tokenizer, rows, self._prompts(model))

  @functools.cached_property
  def _settled(self) -> dict[str, folders.Settled]:
    return {}

  @functools.cached_property
  def _tokenizers(self) -> dict[str, tokens.Tokenizer]:
    return {}

  @functools.cached_property
  def _tokens(self) -> dict[tuple, tokens.TokenisedDataset]:
    return {}

  def _prompts(self, model: str) -> dict[str, str]:
    """What stands in front of the texts of a model, where anything does."""
    section = self.settled(model).model if model else None
    if not isinstance(section, model_kinds.Dual | model_kinds.Late):
      return {}
    return {text: prompt for text, prompt in section.prompts.items() if prompt}

  @functools.cached_property
  def mesh(self) -> jax.sharding.Mesh:
    """All devices of all processes, to train on."""
    return sharding.make_mesh(self.config.mesh, self.devices)

  def model(self, name: str) -> Encoder:
    """The encoder that `config.models.<name>` describes."""
    where, settled = f"config.models.{name}", self.settled(name)
    transformer = encoders.shape_of(
      where,
      settled,
      self.config.data,
      lambda: self.tokenizer_of(name).vocab_size,
    )
    return build.encoder_of(
      settled.model,
      transformer,
      lambda: self.mask_id(name),
      settled.dense,
      settled.head,
      tokenizers.skipped(where, settled.model, lambda: self.tokenizer_of(name)),
    )

  def settled(self, name: str) -> folders.Settled:
    """A model, with what its folder of weights says of it filled in."""
    if name not in self._settled:
      self._settled[name] = folders.settled(
        f"config.models.{name}", self.model_config(name)
      )
    return self._settled[name]

  def first_params(self, name: str, seed: int) -> Any:
    """Its weights before any training: loaded, or drawn from the seed.

    A loaded encoder fills every tower; what the folder has not is drawn.
    """
    settled, encoder = self.settled(name), self.model(name)
    if settled.encoder is None:
      return encoder.init(jax.random.key(seed))
    if long := folders.too_long(settled, self.config.data):
      logging.warning("model %s: %s", name, long)
    tower, loaded = folders.load(settled, encoder)
    params = build.init_around(encoder, tower, loaded, jax.random.key(seed))
    drawn = sorted(params.keys() - loaded.keys() - build.TOWERS)
    logging.info(
      "model %s: weights of %s%s%s",
      name,
      settled.encoder,
      f" with its {' and '.join(loaded)}" if loaded else "",
      f"; it has no {' and '.join(drawn)}, which is drawn" if drawn else "",
    )
    return params

  def trained_params(self, folder: pathlib.Path) -> Any:
    """The weights that a train stage left in its folder."""
    return folders.trained(folder / PARAMS)

  def model_fingerprint(self, name: str) -> dict[str, Any]:
    """All that decides a model: its config and its first weights."""
    return folders.fingerprint(self.model_config(name))

  def data_fingerprint(self, *models: str) -> dict[str, Any]:
    """All that decides the tokens that a stage's models see."""
    data = strict.plain(self.config.data)
    return {
      "dataset": self.located.fingerprint,
      "tokenizers": [self.tokenizer_of(name).fingerprint for name in models],
      "prompts": [self._prompts(name) for name in models],
      "data": {k: v for k, v in data.items() if k not in _IN_FINGERPRINTS},
    }

  def model_name(self, name: str) -> str:
    """The model of a name: that a stage trains or embeds with, or itself."""
    name = accepted.alternatives(self, name)[0]
    stage = self.config.stages.get(name)
    if isinstance(stage, kinds.Encode):
      return self.model_name(stage.params)
    return self.stage(name).model if stage else name

  def model_config(self, name: str) -> model_kinds.Model:
    """What the config says of a model.

    Raises:
      ConfigError: it says nothing.
    """
    if name not in self.config.models:
      known = ", ".join(self.config.models)
      raise strict.ConfigError(f"there is no model {name!r}; known: {known}")
    return self.config.models[name]


@dataclasses.dataclass(frozen=True)
class Job(Generic[S]):
  """One stage of a run.

  Attributes:
    run: that it is a stage of.
    name: unique in the run.
    stage: what the config says of it.
    inputs: folders of the earlier stages that it reads, by role.
    folder: where it leaves its artefacts.
  """

  run: Run
  name: str
  stage: S
  inputs: accepted.Folders | Mapping[str, pathlib.Path]
  folder: pathlib.Path

  @property
  def where(self) -> str:
    """Its section of the config, for errors."""
    return f"config.stages.{self.name}"

  @property
  def seed(self) -> int:
    """A seed of its own, from the run's."""
    text = f"{self.run.config.seed}/{self.name}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") >> 1

  def source(self, role: str) -> Any:
    """What the config says of the stage in a role."""
    return self.run.stage(getattr(self.stage, role))

  def model_name(self, role: str) -> str:
    """The model in a role: the one that a stage trains, or itself."""
    return self.run.model_name(getattr(self.stage, role))

  def model_of(self, role: str) -> Encoder:
    """The encoder of that model."""
    return self.run.model(self.model_name(role))

  def params_of(self, role: str) -> Any:
    """Its weights: those that the stage left, or its own."""
    named = getattr(self.stage, role)
    name = accepted.trained(self.run, named)
    if name in self.run.config.stages:
      own = name == named
      folder = self.inputs[role] if own else self.run.folder(name)
      return self.run.trained_params(folder)
    # Nothing is drawn: `sources.check_own` has seen that all is there.
    return self.run.first_params(name, seed=0)

  def tokens_of(self, role: str) -> tokens.TokenisedDataset:
    """Passages and queries as that model reads them."""
    return self.run.tokens_of(self.model_name(role))

  def frozen(self: "Job[OfTexts]", role: str) -> FrozenModel:
    """The same with its weights, on each device of this process."""
    return FrozenModel.of(
      self.model_of(role),
      self.params_of(role),
      special=self.run.tokenizer_of(self.model_name(role)).special,
      data=self.run.config.data,
      batch_tokens=self.stage.batch_tokens,
      profile=self.run.profile.of(self.name),
    )

  def in_blocks(
    self,
    rows: int,
    names: Sequence[str],
    work: Callable[[int, int, Pieces], blocks.Block],
  ) -> list[np.ndarray] | None:
    """What `work` makes of all rows, queries each, in blocks that survive.

    Args:
      rows: in total; of a block `block_queries`, if the stage has such a key.
      names: of the arrays that it makes.
      work: (start, stop, pieces) to arrays of these rows, by name.

    Returns:
      The arrays in one piece; None on other processes than the first.
    """
    processes = self.run.processes
    paths = blocks.compute(
      self.folder / blocks.FOLDER,
      rows,
      getattr(self.stage, "block_queries", rows),
      work,
      processes=processes,
      name=self.name,
      unit="queries",
    )
    return blocks.gather(paths, names, processes) if processes.first else None

  def check_trains(self, role: str, allowed: Sequence[str]) -> None:
    """Raises ConfigError unless the model in a role is of these kinds."""
    kind = self.run.model_config(self.model_name(role)).kind
    if kind not in allowed:
      means = "which trains" if role in self.inputs else "which is"
      raise strict.ConfigError(
        f"{self.where}.{role} is {getattr(self.stage, role)!r}, {means} a "
        f"model of kind {kind}; it takes one of kind {' or '.join(allowed)}"
      )

  def check_encoded(
    self: "Job[Any]", split: str, role: str = "encoded"
  ) -> None:
    """Raises ConfigError when an encode stage in a role leaves out a split."""
    for name in accepted.alternatives(self.run, getattr(self.stage, role)):
      splits = self.run.stage(name).splits
      if split not in splits:
        raise strict.ConfigError(
          f"{self.where} reads split {split!r}, but {name} encodes "
          f"{', '.join(splits) or 'none'}"
        )

  def check_scored(self: "Job[OfLists]", role: str) -> None:
    """Raises ConfigError when what is in a role is not of the candidates."""
    stage, source = self.stage, self.source(role)
    name, candidates = getattr(stage, role), stage.candidates
    scored = [source.candidates] if source.candidates else []
    if isinstance(source, kinds.Denoise | kinds.Filter):
      scored = [name]  # what it leaves is no longer what it reads
    elif isinstance(source, kinds.Imported):
      # Its lists are those that it has scored, less what has no score.
      scored = [name] if source.missing == "drop" else [name, *scored]
    if candidates not in scored:
      raise strict.ConfigError(
        f"{self.where}.candidates is {candidates!r}, but {name} scored the "
        f"lists of {' or '.join(map(repr, scored))}"
      )
