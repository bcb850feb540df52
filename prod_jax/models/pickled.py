"""Pickled weights (.bin, .pt) as safetensors, read with torch.

Torch's reader of weights runs no code of a file.
"""

import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

from prod_jax import storage
from prod_jax.models import weights
from prod_jax.models.weights import WeightsError

NAME = "pytorch_model.bin"
INDEX = "pytorch_model.bin.index.json"
_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")


def convert(folder: pathlib.Path, to: pathlib.Path) -> list[pathlib.Path]:
  """Writes `to`, whole or not at all.

  Args:
    folder: of a model; its hidden files are left out, and so is whatever else
      is pickled in it.
    to: a folder that is new or empty.

  Returns:
    The files within `folder` that were converted.

  Raises:
    WeightsError: there is nothing to convert, a file holds more than weights,
      `to` is taken, or torch is not installed.
  """
  if not folder.is_dir():
    raise WeightsError(f"{folder} is no folder")
  if to.exists() and not (to.is_dir() and not any(to.iterdir())):
    raise WeightsError(f"--to is {to}, which is there; it takes a new one")
  paths = [path for path in _files(folder) if not path.is_relative_to(to)]
  converted = [
    path for parent in _parents(paths) for path in _pickled(parent, paths)
  ]
  if not converted:
    raise WeightsError(
      f"{folder} holds no pickled weights that {weights.WEIGHTS} is not by: "
      f"neither {NAME} nor {INDEX} is in it, nor one file alone of "
      f"{', '.join(_SUFFIXES)}"
    )
  with storage.whole_folder(to) as part:
    # What an index names is among them, there or not.
    for path in sorted({*paths, *converted}):
      new = part / path.relative_to(folder)
      new.parent.mkdir(parents=True, exist_ok=True)
      if path in converted:
        _convert(path, _renamed(new))
      elif path.name == INDEX:
        _convert_index(path, new.with_name(weights.INDEX))
      elif path.suffix not in _SUFFIXES:
        shutil.copyfile(path, new)
  return converted


def _files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  for path in sorted(folder.rglob("*")):
    hidden = any(x.startswith(".") for x in path.relative_to(folder).parts)
    if path.is_file() and not hidden:
      yield path


def _parents(paths: list[pathlib.Path]) -> list[pathlib.Path]:
  return sorted({path.parent for path in paths})


def _pickled(
  parent: pathlib.Path, paths: list[pathlib.Path]
) -> list[pathlib.Path]:
  """The files of one folder that hold a model's weights, and need converting.

  A trainer leaves its own state beside them, under other names.
  """
  here = [path for path in paths if path.parent == parent]
  names = {path.name for path in here}
  if names & {weights.WEIGHTS, weights.INDEX}:
    return []
  if INDEX in names:
    return list(weights.shards_of(parent / INDEX))
  if NAME in names:
    return [parent / NAME]
  pickled = [path for path in here if path.suffix in _SUFFIXES]
  return pickled if len(pickled) == 1 else []


def _renamed(path: pathlib.Path) -> pathlib.Path:
  """Where the weights of a file go: shards keep their numbers."""
  stem = pathlib.Path(weights.WEIGHTS).stem
  numbers = path.stem.removeprefix(pathlib.Path(NAME).stem)
  numbers = numbers if numbers.startswith("-") else ""
  return path.with_name(f"{stem}{numbers}.safetensors")


def _convert_index(old: pathlib.Path, new: pathlib.Path) -> None:
  index = weights.read_json(old)
  placed = index["weight_map"].items()
  index["weight_map"] = {
    tensor: _renamed(pathlib.Path(file)).name for tensor, file in placed
  }
  new.write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def _convert(old: pathlib.Path, new: pathlib.Path) -> None:
  """Writes the tensors of a file as safetensors."""
  tensors = _read(old)
  try:
    import safetensors.torch  # it imports torch, too

    # Apart, because tied tensors share their numbers and safetensors has none
    # that do; each is let go of as soon as it is copied.
    apart = {
      name: tensors.pop(name).detach().clone().contiguous()
      for name in list(tensors)
    }
    safetensors.torch.save_file(apart, new, metadata={"format": "pt"})
  except (AttributeError, TypeError, ValueError) as error:
    raise WeightsError(
      f"{old} holds more than weights: {_line(error)}"
    ) from error


def _read(path: pathlib.Path) -> dict[str, Any]:
  """The tensors of a file, which runs nothing.

  Raises:
    WeightsError: torch is not there, or refuses the file.
  """
  try:
    import torch
  except ModuleNotFoundError as error:
    raise WeightsError(
      "pickled weights are read with torch, which is not installed: pip "
      "install 'prod_jax[torch]', in an environment of its own if you like"
    ) from error
  if not path.is_file():
    raise WeightsError(f"{path} is not there; fetch it")
  weights.refuse_pointer(path)
  try:
    found = torch.load(path, map_location="cpu", weights_only=True)
  except Exception as error:  # of many classes, for a file of any bytes
    raise WeightsError(
      f"{path} is cut, or holds more than weights, which is not run: "
      f"{_line(error)}"
    ) from error
  found = found.get("state_dict", found) if isinstance(found, dict) else None
  if not found or not isinstance(found, dict):
    raise WeightsError(f"{path} holds no tensors by name")
  return dict(found)


def _line(error: Exception) -> str:
  """The first line of what torch says, without its advice."""
  lines = str(error).strip().splitlines() or [type(error).__name__]
  return lines[0].split(". ")[0]
