"""The files that weights lie in: safetensors, whole or in shards.

Whatever is wrong with them is a `WeightsError` of one line that names the file
and what to do. Nothing pickled is ever read.
"""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import safetensors

from prod_jax import json_files, storage
from prod_jax.strict import Refused

Path = str | os.PathLike[str]

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_OTHERS = ("*.safetensors", "*.h5", "*.msgpack", "*.onnx", "*.gguf")
_CONVERT = (
  "convert pickled weights (.bin, .pt), which may run code when they are "
  "read, to safetensors: prod_jax convert FOLDER --to=DIR"
)
_DTYPES = ("F64", "F32", "F16", "BF16")


class WeightsError(Refused):
  """A folder or file of weights cannot be used; its one line says why."""


class Tensors:
  """Tensors of one file or of all shards, none read before it is asked for.

  Attributes:
    source: the file, for messages; of shards their index.
    metadata: of the header, of all shards together.
  """

  def __init__(
    self,
    source: pathlib.Path,
    shards: Mapping[pathlib.Path, safetensors.safe_open],
  ) -> None:
    self.source = source
    self.metadata: dict[str, str] = {}
    self._shard: dict[str, safetensors.safe_open] = {}
    for file, shard in shards.items():
      self.metadata |= shard.metadata() or {}
      for name in shard.keys():  # noqa: SIM118 (no mapping)
        if name in self._shard:
          raise WeightsError(f"{file}: {name} is in another shard too")
        self._shard[name] = shard

  @property
  def names(self) -> frozenset[str]:
    """Of all tensors, as they are stored."""
    return frozenset(self._shard)

  def shape(self, name: str) -> tuple[int, ...]:
    """Of a tensor, from the header."""
    return tuple(self._shard[name].get_slice(name).get_shape())

  def check_dtype(self, name: str) -> None:
    """Raises WeightsError for a tensor of integers, or a quantised one."""
    dtype = self._shard[name].get_slice(name).get_dtype()
    if dtype not in _DTYPES:
      raise WeightsError(
        f"{self.source}: {name} is of type {dtype}; it takes weights of "
        f"{', '.join(_DTYPES)}, so save them unquantised"
      )

  def read(self, name: str) -> np.ndarray:
    """A tensor in float32.

    Raises:
      WeightsError: as `check_dtype`, or it holds what is no number.
    """
    self.check_dtype(name)
    tensor = np.asarray(self._shard[name].get_tensor(name), np.float32)
    if not np.isfinite(tensor).all():
      raise WeightsError(
        f"{self.source}: {name} holds NaN or infinite numbers; fetch it again, "
        "or train the model anew"
      )
    return tensor


def files(path: Path) -> tuple[pathlib.Path, ...]:
  """The files that hold the weights of a folder, or the one that is named.

  Raises:
    WeightsError: there is none, or a shard is missing or elsewhere.
  """
  path = pathlib.Path(path)
  if not path.is_dir():
    return (_checked(path),)
  if (path / WEIGHTS).is_file():
    return (_checked(path / WEIGHTS),)
  if (path / INDEX).is_file():
    return tuple(_checked(shard) for shard in shards_of(path / INDEX))
  pickled, others = (
    sorted(f.name for kind in kinds for f in path.glob(kind))
    for kinds in (_PICKLED, _OTHERS)
  )
  remedy = "fetch it again, with its weights in safetensors"
  if pickled:
    remedy = _CONVERT
  elif "snapshots" in path.parts:  # of a hub's cache
    remedy = (
      "a hub's pytorch_model.bin is not fetched: hf download the model into a "
      "folder of your own, and convert that with prod_jax convert"
    )
  elif others:
    remedy = "save the whole model there, with transformers' save_pretrained"
  only = f"only {', '.join(pickled or others)}"
  raise WeightsError(
    f"{path} holds {only if pickled or others else 'no weights'}: neither "
    f"{WEIGHTS} nor {INDEX} is there; {remedy}"
  )


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Tensors]:
  """The tensors of a folder or file; only their headers are read.

  Raises:
    WeightsError: see `files`; or a file is cut, damaged or of another format.
  """
  found = files(path)
  source = found[0] if len(found) == 1 else found[0].parent / INDEX
  with contextlib.ExitStack() as stack:
    shards = {}
    for file in found:
      try:
        shards[file] = stack.enter_context(
          safetensors.safe_open(file, framework="numpy")
        )
      except (safetensors.SafetensorError, OSError) as error:
        raise WeightsError(
          f"{file} is cut, damaged or no safetensors ({error}); fetch it again"
        ) from error
    yield Tensors(source, shards)


def shards_of(index: pathlib.Path) -> tuple[pathlib.Path, ...]:
  """The files that an index names, there or not.

  Raises:
    WeightsError: it is damaged, or names one elsewhere.
  """
  placed = read_json(index).get("weight_map")
  if not isinstance(placed, dict) or not placed:
    raise WeightsError(f"{index} has no weight_map; fetch it again")
  for name in placed.values():
    # A name could point anywhere: a folder is read, and nothing outside of it.
    if not (isinstance(name, str) and _is_of_a_file(name)):
      raise WeightsError(
        f"{index} names a shard {name!r}, not a file beside it; fetch it again"
      )
  return tuple(index.parent / name for name in sorted({*placed.values()}))


def _is_of_a_file(name: str) -> bool:
  return pathlib.PurePath(name).name == name and len(name) < 256


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """A JSON object.

  Raises:
    WeightsError: it is something else.
  """
  found = _json(path)
  if not isinstance(found, dict):
    raise WeightsError(f"{path} is no JSON object; fetch it again")
  return found


def read_json_list(path: pathlib.Path) -> list[dict[str, Any]]:
  """A JSON list of objects.

  Raises:
    WeightsError: it is something else.
  """
  found = _json(path)
  if not isinstance(found, list) or not all(isinstance(x, dict) for x in found):
    raise WeightsError(f"{path} is no JSON list of objects; fetch it again")
  return found


def _json(path: pathlib.Path) -> Any:
  if not path.is_file():
    raise WeightsError(f"{path} is not there; fetch it again")
  refuse_pointer(path)
  try:
    return json_files.parse(path.read_text(encoding="utf-8"))
  except (ValueError, OSError) as error:
    raise WeightsError(
      f"{path} is no JSON ({error}); fetch it again"
    ) from error


def _checked(file: pathlib.Path) -> pathlib.Path:
  if not file.is_file():
    raise WeightsError(f"{file} is not there; fetch it again")
  if file.suffix != ".safetensors":
    raise WeightsError(f"{file} is no .safetensors file; {_CONVERT}")
  refuse_pointer(file)
  return file


def refuse_pointer(file: pathlib.Path) -> None:
  """Raises WeightsError where Git-LFS has left a name instead of a file."""
  if storage.is_pointer(file):
    raise WeightsError(
      f"{file} is a Git-LFS pointer, not the file itself; run `git lfs pull` "
      "in its repository, or download the file"
    )
