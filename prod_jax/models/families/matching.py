"""What stands in a file of weights, against what an encoder asks for."""

import collections
import re
from collections.abc import Iterable, Mapping, Sequence

from prod_jax.models.families import tensors
from prod_jax.models.families.tensors import Shapes, Stored
from prod_jax.models.weights import Tensors, WeightsError

# What a checkpoint may hold beside the encoder: of other heads, and buffers.
_BESIDE = re.compile(
  r"(?:^|\.)(position_ids|rotary_emb|task_type_embeddings|pooler|cls|lm_head|generator_\w+|"
  r"discriminator_\w+|vocab_\w+|pre_classifier|classifier|qa_\w+|fit_denses?|head|"
  r"decoder|linear)"
  r"(?:\.|$)"
)


def found_in(file: Tensors, wanted: Stored, family: str) -> dict[str, str]:
  """The stored name of each tensor, by its bare one.

  A prefix that all of an encoder's tensors have is found by taking off what
  stands in front of the names wanted.
  """
  today = {_today(name): name for name in sorted(file.names)}
  prefixes = collections.Counter(
    name[: -len(end)]
    for name in today
    for end in endings(name)
    if end in wanted
  )
  ranked = prefixes.most_common(2)
  if not ranked:
    example = next(iter(wanted))
    raise WeightsError(
      f"{file.source} holds no encoder of the family {family}: none of its "
      f"{len(today)} tensors is a {example} or the like"
    )
  if len(ranked) == 2 and ranked[0][1] == ranked[1][1]:
    raise WeightsError(
      f"{file.source} holds several encoders: {ranked[0][0]!r} and "
      f"{ranked[1][0]!r} stand in front of their names; save one of them"
    )
  prefix = ranked[0][0]
  return {
    name.removeprefix(prefix): stored
    for name, stored in today.items()
    if name.startswith(prefix)
  } | {name: s for name, s in today.items() if not name.startswith(prefix)}


def _today(name: str) -> str:
  """Without the gamma and beta of old."""
  name = name.replace("LayerNorm.gamma", "LayerNorm.weight")
  return name.replace("LayerNorm.beta", "LayerNorm.bias")


def endings(name: str) -> Iterable[str]:
  """A name, and what follows each of its dots."""
  yield name
  for dot in re.finditer(r"\.", name):
    yield name[dot.end() :]


def ending(file: Tensors, end: str) -> str | None:
  """The stored name that is `end` behind a prefix, perhaps an empty one."""
  for name in sorted(file.names, key=len):
    if end in endings(name):
      return name
  return None


def check_shapes(
  file: Tensors, wanted: Stored, stored_names: Mapping[str, str], shapes: Shapes
) -> list[str]:
  """Raises WeightsError where a tensor is missing or of another shape.

  Returns:
    Which rows are not read, in sentences.
  """
  wrong, left = [], []
  for name, keys in wanted.items():
    shape = tensors.stored_shape(keys, shapes)
    if name not in stored_names:
      wrong.append(f"{name} {list(shape)} is missing")
      continue
    stored = file.shape(stored_names[name])
    if stored == shape:
      continue
    if (
      stored[1:] == shape[1:] and stored[0] > shape[0] and _padded(keys, shape)
    ):
      # Rows that no token names: tables are padded to a multiple, and RoBERTa
      # reads one type.
      left.append(
        f"{file.source}: {stored_names[name]} has {stored[0]} rows, of which "
        f"the first {shape[0]} are read"
      )
      continue
    wrong.append(
      f"{stored_names[name]} is {list(stored)}, the config asks for "
      f"{list(shape)}"
    )
  _refuse(file, wrong)
  return left


def check_there(
  file: Tensors, wanted: Iterable[str], stored_names: Mapping[str, str]
) -> None:
  """Raises WeightsError where a tensor is missing, whatever its shape."""
  _refuse(
    file, [f"{name} is missing" for name in wanted if name not in stored_names]
  )


def _padded(keys: Sequence[str], shape: tuple[int, ...]) -> bool:
  one_type = keys == ("type/embedding",) and shape[0] == 1
  return keys == ("word/embedding",) or one_type


def check_others(
  file: Tensors,
  bare_names: Iterable[str],
  stored_names: Mapping[str, str],
  left_out: str | None,
) -> list[str]:
  """Raises WeightsError where what is not read may be the encoder's.

  Args:
    file: of the weights.
    bare_names: bare names of what is read.
    stored_names: stored names by bare ones.
    left_out: what the names of layers that are left out begin with.

  Returns:
    What else is not read, in a sentence.
  """
  left = set(stored_names) - set(bare_names)
  if left_out is not None:
    left = {name for name in left if not name.startswith(left_out)}
  beside = collections.Counter(
    match[1] for name in left if (match := _BESIDE.search(name))
  )
  _refuse(
    file,
    [f"{stored_names[n]} is left over" for n in left if not _BESIDE.search(n)],
    "; where that is a head's, save the encoder alone: "
    "AutoModel.from_pretrained(DIR).save_pretrained(DIR2)",
  )
  said = ", ".join(f"{name} ({n})" for name, n in sorted(beside.items()))
  return [f"{file.source} holds, besides the encoder: {said}"] if said else []


def _refuse(file: Tensors, wrong: Sequence[str], also: str = "") -> None:
  if wrong:
    first = sorted(wrong)[:4]
    more = f"; and {len(wrong) - 4} more" if len(wrong) > 4 else ""
    raise WeightsError(
      f"{file.source} does not fit: {'; '.join(first)}{more}; correct "
      f"config.json, or fetch both again{also}"
    )
