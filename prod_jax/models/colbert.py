"""What a ColBERT folder says: projection, markers, masks, punctuation.

Three forms are read. Stanford's has the projection beside the encoder, as
`linear.weight`, and all else in artifact.metadata. sentence-transformers' is a
list of modules: encoder, dense layer of tokens, mask and normalisation.
PyLate's is the same with its settings in config_sentence_transformers.json.
Whatever of it `late.py` does not compute is refused.
"""

import dataclasses
import pathlib
import string
from collections.abc import Mapping, Sequence
from typing import Any

from prod_jax.models import sentence_transformers, weights
from prod_jax.models.sentence_transformers import (
  CONFIG,
  LENGTH,
  MODULES,
  SETTINGS,
  said,
)
from prod_jax.models.weights import Path, WeightsError

PyTree = Any

METADATA = "artifact.metadata"

_PUNCTUATION = tuple(string.punctuation)
_ENDINGS = (["MultiVectorMask", "Normalize"], ["Normalize", "MultiVectorMask"])
_MASKS = (None, "[MASK]", "<mask>")
# What of artifact.metadata we compute one value of.
_FIXED = {"similarity": "cosine", "interaction": "colbert"}


@dataclasses.dataclass(frozen=True)
class Described:
  """A model of token vectors.

  Attributes:
    encoder: folder of the encoder's own files.
    projection: width of the vectors; 0 where they are the encoder's.
    dense: folder of the projection, None where it is beside the encoder.
    prompts: in front of each "query" and each "passage", with its marker.
    mask_queries: queries are filled up with [MASK] tokens, which take part.
    hide_masks: no token attends to these.
    skip: words of passages that take no part.
    query_length: tokens that queries are filled up to; 0 is not said.
    query_limit: tokens of the longest query; 0 is not said.
    max_length: tokens of the longest passage; 0 is not said.
    lower_case: texts are lower-cased before they are tokenised.
  """

  encoder: pathlib.Path
  projection: int
  dense: pathlib.Path | None
  prompts: Mapping[str, str]
  mask_queries: bool
  hide_masks: bool
  skip: tuple[str, ...]
  query_length: int
  query_limit: int
  max_length: int
  lower_case: bool = False


def read(folder: Path) -> Described | None:
  """What the folder says; None where it is of no model of token vectors.

  Raises:
    WeightsError: it says something that we do not compute, or is damaged.
  """
  folder = pathlib.Path(folder)
  if (folder / MODULES).is_file():
    return _of_modules(folder)
  config = weights.read_json(folder / CONFIG)
  declared = "HF_ColBERT" in said(
    folder / CONFIG, config, "architectures", list, []
  )
  with weights.opened(folder) as file:
    projects = "linear.weight" in file.names
    shape = file.shape("linear.weight") if projects else ()
  if not (declared or (folder / METADATA).is_file()):
    if projects:
      raise WeightsError(
        f"{folder} has a projection, linear.weight, and neither {METADATA} nor "
        "architectures of HF_ColBERT say how its texts are marked and masked; "
        "fetch it again"
      )
    return None
  if len(shape) != 2:
    raise WeightsError(
      f"{folder} is a ColBERT model without its projection, linear.weight; "
      "fetch it again"
    )
  return _of_metadata(folder, shape[0])


def load_projection(described: Described, width: int) -> PyTree:
  """Parameters of the projection, for states of a width, as numpy float32.

  Raises:
    WeightsError: the weights are not there, or of another shape.
  """
  if described.dense:
    layer = sentence_transformers.Dense(described.projection, bias=False)
    return sentence_transformers.load_layer(layer, described.dense, width)
  with weights.opened(described.encoder) as file:
    shape = file.shape("linear.weight")
    if shape != (described.projection, width):
      raise WeightsError(
        f"{file.source}: linear.weight is {list(shape)}, and the encoder is "
        f"{width} wide; fetch the folder again"
      )
    return {"kernel": file.read("linear.weight").T.copy()}


def files(folder: Path) -> list[pathlib.Path]:
  """The files that `read` and `load_projection` read beside the encoder's."""
  folder, described = pathlib.Path(folder), read(folder)
  if described is None:
    return []
  named = [folder / name for name in (METADATA, MODULES, SETTINGS)]
  named.append(described.encoder / LENGTH)
  if (folder / MODULES).is_file():
    for module in sentence_transformers.modules_of(folder)[1:]:
      named.append(sentence_transformers.folder_of(folder, module) / CONFIG)
  if described.dense:
    named += weights.files(described.dense)
  return [path for path in named if path.is_file()]


def _of_metadata(folder: pathlib.Path, width: int) -> Described:
  """Stanford's form, with its own defaults."""
  path = folder / METADATA
  found = sentence_transformers.optional_json(path)
  for key, value in _FIXED.items():
    if found.get(key, value) != value:
      raise WeightsError(f"{path}: {key} is {found[key]!r}; it takes {value!r}")
  if found.get("dim", width) != width:
    raise WeightsError(
      f"{path}: dim is {found['dim']}, and linear.weight makes {width}; fetch "
      "both again"
    )
  query = said(path, found, "query_token_id", str, "") or "[unused0]"
  passage = said(path, found, "doc_token_id", str, "") or "[unused1]"
  skips = said(path, found, "mask_punctuation", bool, True)
  query_length = said(path, found, "query_maxlen", int, 0) or 32
  return Described(
    encoder=folder,
    projection=width,
    dense=None,
    prompts={"query": f"{query} ", "passage": f"{passage} "},
    mask_queries=True,
    hide_masks=not said(path, found, "attend_to_mask_tokens", bool, False),
    skip=_PUNCTUATION if skips else (),
    query_length=query_length,
    query_limit=query_length,
    max_length=said(path, found, "doc_maxlen", int, 0),
  )


def _of_modules(folder: pathlib.Path) -> Described | None:
  """sentence-transformers' form, or PyLate's."""
  settings = sentence_transformers.optional_json(folder / SETTINGS)
  modules = sentence_transformers.modules_of(folder)
  kinds = [_kind(module) for module in modules]
  pylate = _is_pylate(settings, modules)
  if not (pylate or "MultiVectorMask" in kinds):
    return None
  folders = [sentence_transformers.folder_of(folder, m) for m in modules]
  ending = kinds[2:] if kinds[1:2] == ["Dense"] else kinds[1:]
  if ending not in (*_ENDINGS, *([[]] if pylate else [])):
    raise WeightsError(
      f"{folder / MODULES} names the modules {', '.join(kinds)}; of token "
      "vectors it takes Transformer, then a Dense or not, then MultiVectorMask "
      "and Normalize"
    )
  projection, dense = 0, None
  if kinds[1:2] == ["Dense"]:
    layer, dense = sentence_transformers.dense_of(
      folders[1], reads="token_embeddings"
    )
    if layer.bias or layer.activation:
      raise WeightsError(
        f"{dense / CONFIG}: the projection of tokens has a bias or an "
        "activation; it takes neither"
      )
    projection = layer.width
  limits = sentence_transformers.optional_json(folders[0] / LENGTH)
  expansion = _expansion(folder, settings, limits, pylate)
  named = dict(zip(kinds, folders, strict=True))
  _check_scores(folder, settings, named)
  return Described(
    encoder=folders[0],
    projection=projection,
    dense=dense,
    prompts=_prompts(folder / SETTINGS, settings),
    mask_queries=expansion is not None,
    hide_masks=expansion is not None and not expansion["attend"],
    skip=_skipped(folder, settings, named.get("MultiVectorMask")),
    query_length=expansion["length"] if expansion else 0,
    query_limit=expansion["length"]
    if expansion
    else said(folders[0] / LENGTH, limits, "query_length", int, 0)
    or said(folder / SETTINGS, settings, "query_length", int, 0),
    max_length=_length(folder, settings, folders[0], limits),
    lower_case=said(folders[0] / LENGTH, limits, "do_lower_case", bool, False),
  )


def _length(
  folder: pathlib.Path,
  settings: Mapping[str, Any],
  encoder: pathlib.Path,
  limits: Mapping[str, Any],
) -> int:
  """Tokens of the longest passage, 0 where it is not said."""
  own, whole = (encoder / LENGTH, limits), (folder / SETTINGS, settings)
  return (
    said(*own, "document_length", int, 0)
    or said(*whole, "document_length", int, 0)
    or said(*own, "max_seq_length", int, 0)
  )


def _kind(module: Mapping[str, Any]) -> str:
  name = sentence_transformers.kind_of(module)
  return "Dense" if name == "pylate.models.Dense.Dense" else name


def _is_pylate(
  settings: Mapping[str, Any], modules: Sequence[Mapping[str, Any]]
) -> bool:
  """Whether PyLate wrote it; its first versions did not say so."""
  return (
    settings.get("model_type") == "ColBERT"
    or not {"query_prefix", "document_prefix"}.isdisjoint(settings)
    or any(str(module.get("type")).startswith("pylate.") for module in modules)
  )


def _expansion(
  folder: pathlib.Path,
  settings: Mapping[str, Any],
  limits: Mapping[str, Any],
  pylate: bool,
) -> dict[str, Any] | None:
  """How queries are filled up: "attend" and "length", None where not."""
  if "query_expansion" in limits or "query_expansion" in settings:
    found = limits.get("query_expansion", settings.get("query_expansion"))
    if found is None:
      return None
    fixed = (
      isinstance(found, dict)
      and found.get("strategy") == "fixed"
      and type(found.get("length")) is int
    )
    if not fixed or found.get("token") not in _MASKS:
      raise WeightsError(
        f"{folder}: query_expansion is {found}; it takes the strategy 'fixed' "
        "with a length and the mask token"
      )
    return {"attend": bool(found.get("attend")), "length": found["length"]}
  if not pylate:
    return None
  if settings.get("do_query_expansion") is False:
    return None
  attend = settings.get(
    "attend_to_expansion_tokens", settings.get("attend_to_mask_tokens")
  )
  length = said(folder / SETTINGS, settings, "query_length", int, 0) or 32
  return {"attend": bool(attend), "length": length}


def _prompts(path: pathlib.Path, settings: Mapping[str, Any]) -> dict[str, str]:
  """With PyLate's prefixes in front of its prompts."""
  prompts = sentence_transformers.prompts_of(path, settings)
  for key, text in (("query_prefix", "query"), ("document_prefix", "passage")):
    if prefix := said(path, settings, key, str, ""):
      prompts[text] = prefix + prompts.get(text, "").removeprefix(prefix)
  return prompts


def _skipped(
  folder: pathlib.Path, settings: Mapping[str, Any], mask: pathlib.Path | None
) -> tuple[str, ...]:
  path = mask / CONFIG if mask else folder / SETTINGS
  found = weights.read_json(path) if mask else settings
  otherwise = [] if mask else [*_PUNCTUATION]
  words = said(path, found, "skiplist_words", list, otherwise)
  if not all(isinstance(word, str) for word in words):
    raise WeightsError(f"{path}: skiplist_words are {words!r}, not all texts")
  return tuple(words)


def _check_scores(
  folder: pathlib.Path,
  settings: Mapping[str, Any],
  named: Mapping[str, pathlib.Path],
) -> None:
  """Raises WeightsError where vectors or scores are not ours."""
  path = folder / SETTINGS
  similarity = said(path, settings, "similarity_fn_name", str, "") or "maxsim"
  if similarity.lower() not in ("maxsim", "cosine"):  # of what it was made of
    raise WeightsError(
      f"{path}: similarity_fn_name is {similarity!r}; it takes 'maxsim'"
    )
  fixed: dict[str, dict[str, Any]] = {
    "MultiVectorMask": {
      "skiplist_tasks": ["document"],
      "keep_only_token_ids": None,
    },
    "Normalize": {
      "module_input_name": "token_embeddings",
      "module_output_name": "token_embeddings",
    },
  }
  for kind, expected in fixed.items():
    if kind not in named:
      continue
    path = named[kind] / CONFIG
    found = weights.read_json(path)
    for key, value in expected.items():
      if (found.get(key) or value) != value:
        raise WeightsError(f"{path}: {key} is {found[key]!r}; it takes {value}")
