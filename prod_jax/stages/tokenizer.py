"""The tokenizer of a model: its own, that of its weights, or the data's."""

import pathlib
from collections.abc import Callable, Mapping

from prod_jax import model_kinds, packaged, strict
from prod_jax.batches import rows as layout
from prod_jax.batches import tokens
from prod_jax.batches.special import Special
from prod_jax.config import Config
from prod_jax.models import sentence_transformers
from prod_jax.sets.records import DataError
from prod_jax.stages import folders
from prod_jax.stages.folders import PACKAGED

WRITE = (
  "write a tokenizer.json, with transformers' "
  "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
)
_DATAS = "config.data.tokenizer"


def source_of(config: Config, name: str) -> tuple[str, str]:
  """Where a model's tokenizer is said to be, with "" for the data's own.

  Returns:
    The key of the config that says so, and a folder or `PACKAGED`.

  Raises:
    ConfigError: the folder of its weights is not there, or holds a tokenizer
      that we do not read.
  """
  model = config.models[name] if name else None
  if model and model.tokenizer:
    return f"config.models.{name}.tokenizer", model.tokenizer
  if model and model.weights:
    key = f"config.models.{name}.weights"
    if model.weights == PACKAGED:
      return key, PACKAGED
    folder = folders.weights_folder(model, key)
    folder = sentence_transformers.encoder_folder(folder)
    if tokens.holds_tokenizer(folder):
      return key, str(folder)
    if others := tokens.other_tokenizer(folder):
      raise strict.ConfigError(
        f"{key}: {folder} holds its tokenizer as {', '.join(others)}, which is "
        f"not read; {WRITE}, or set config.models.{name}.tokenizer to a folder "
        "that has it"
      )
  return _DATAS, config.data.tokenizer


def has_none(config: Config, name: str) -> bool:
  """Whether a model with weights takes the data's tokenizer for lack of one."""
  weights = config.models[name].weights
  return bool(weights) and source_of(config, name)[0] == _DATAS


def load(key: str, source: str) -> tokens.Tokenizer:
  """The tokenizer of what `source_of` returns.

  Raises:
    ConfigError: it cannot be read.
  """
  folder = (
    folders.packaged_folder(key) if source == PACKAGED else pathlib.Path(source)
  )
  try:
    return tokens.load_tokenizer(folder)
  except DataError as error:
    raise strict.ConfigError(f"{key}: {error}") from error


def is_here(source: str) -> bool:
  """Whether there is such a tokenizer on this machine."""
  if source != PACKAGED:
    return tokens.holds_tokenizer(pathlib.Path(source))
  try:
    return tokens.holds_tokenizer(packaged.model_folder())
  except (ModuleNotFoundError, FileNotFoundError):
    return False


def check(
  config: Config,
  name: str,
  tokenizer: tokens.Tokenizer,
  rows: int,
  prompts: Mapping[str, str],
) -> None:
  """Raises ConfigError where a model has no embedding for a token.

  More embeddings than tokens are fine: tables are often padded. Special tokens
  alone have to fit into the lengths of texts, and none is within a prompt.
  """
  _check_lengths(config, name, tokenizer.special)
  for text, prompt in prompts.items():
    if odd := tokenizer.special_within(prompt):
      raise strict.ConfigError(
        f"config.models.{name}.prompts.{text}: {prompt!r} holds {odd!r}, which "
        "is a token where a prompt begins with it, and letters anywhere else; "
        "leave it out"
      )
  if tokenizer.vocab_size <= rows:
    return
  where, weights = f"config.models.{name}", config.models[name].weights
  key, source = source_of(config, name)
  if has_none(config, name):
    raise strict.ConfigError(
      f"{where}.weights is {weights!r}, a folder without a tokenizer: that of "
      f"{_DATAS} was taken, {source!r}, whose {tokenizer.vocab_size:,} tokens "
      f"are more than its {rows:,} embeddings; set {where}.tokenizer"
    )
  given = (
    f"{where}.weights is {weights!r}" if weights else f"{where}.vocab_size"
  )
  raise strict.ConfigError(
    f"{given}: its embeddings are {rows:,} rows, and the tokenizer of {source} "
    f"({key}) has {tokenizer.vocab_size:,} tokens; set {where}.tokenizer to "
    "the one that goes with them"
  )


def _check_lengths(config: Config, name: str, special: Special) -> None:
  """Raises ConfigError where texts have no room beside the special tokens."""
  kind, data = config.models[name].kind, config.data
  keys = ("query_length", "passage_length")
  for key, least in zip(keys, layout.least(kind, special), strict=True):
    if getattr(data, key) < least:
      raise strict.ConfigError(
        f"config.data.{key} is {getattr(data, key)}, and the special tokens of "
        f"model {name} alone take {least}; make it longer"
      )


def skipped(
  where: str,
  model: model_kinds.Model,
  tokenizer: Callable[[], tokens.Tokenizer],
) -> tuple[int, ...]:
  """The ids of the words that a model skips.

  Words that a folder of weights names and its vocabulary lacks stand in no
  text.

  Raises:
    ConfigError: the vocabulary has none of them.
  """
  words = model.skip if isinstance(model, model_kinds.Late) else ()
  if not words:
    return ()
  ids = sorted(
    i for word in words if (i := tokenizer().id_of(word)) is not None
  )
  if not ids:
    raise strict.ConfigError(
      f"{where}.skip: the tokenizer has no token for any of {' '.join(words)}"
    )
  return tuple(ids)


def mask_id(config: Config, name: str, tokenizer: tokens.Tokenizer) -> int:
  """The id of [MASK] in a model's tokenizer.

  Raises:
    ConfigError: it has none.
  """
  if tokenizer.special.mask is None:
    key, source = source_of(config, name)
    raise strict.ConfigError(
      f"{key}: the tokenizer of {source} has no mask token, and model {name} "
      "or what is made with it needs one; name its mask_token in "
      "tokenizer_config.json"
    )
  return tokenizer.special.mask
