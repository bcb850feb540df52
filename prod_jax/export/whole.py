"""The whole export, in order: folders, graphs, card, hashes."""

import dataclasses
import importlib.util
import json
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

from absl import logging

from prod_jax import storage, strict
from prod_jax.export import card, folder, lineage
from prod_jax.export.finished import Trained
from prod_jax.export.folder import Part
from prod_jax.export.lineage import CARD, PROVENANCE

QUALITY = "export.json"
# A graph computes what we do, but in another order.
_MOST_DIFFERENCE = 1e-5


@dataclasses.dataclass(frozen=True)
class Options:
  """What is written, and where.

  Attributes:
    to: the folder.
    where: a user finds it, for the card.
    dtype: that the weights are stored in; graphs are always float32.
    onnx: write the graph for onnxruntime.
    int8: write it with weights of 8 bits, too.
    most_loss: of nDCG@10 that this may cost.
    overwrite: replace an export that is there. Its card stays where somebody
      has changed it, and so do files that no export wrote.
  """

  to: pathlib.Path
  where: card.Where
  dtype: str = "float32"
  onnx: bool = False
  int8: bool = False
  most_loss: float = 0.01
  overwrite: bool = False


def export(trained: Trained, options: Options) -> dict[str, Any]:
  """Writes an export, whole or not at all.

  Returns:
    What each form of the model is worth; {} without graphs.

  Raises:
    ConfigError: the folder is taken, the model is of a kind that no folder can
      say, or a form of it loses too much.
  """
  old = _replaced(options)
  graphs = options.onnx or options.int8
  if graphs:
    _check_packages()
  parts = folder.parts(trained)
  with storage.whole_folder(options.to) as to:
    for part in parts:
      folder.write(to / part.name, trained, part, options.dtype)
    quality = _write_graphs(to, trained, parts, options) if graphs else {}
    if quality:
      storage.write_text(to / QUALITY, json.dumps(quality, indent=2))
    card.write(to / CARD, trained, options.where, quality)
    # The last file: its hashes are of all others.
    found = lineage.provenance(trained, to)
    storage.write_text(to / PROVENANCE, json.dumps(found, indent=2))
    if old:
      _keep_others(options.to, to, old)
  logging.info("%s is in %s", trained.name, options.to)
  return quality


def _replaced(options: Options) -> lineage.Written | None:
  """The export that stands there, which is to be replaced.

  Raises:
    ConfigError: something stands there that is not ours to delete.
  """
  to = options.to
  if to.is_file():
    raise strict.ConfigError(f"--to: {to} is a file; it takes a folder")
  if not to.is_dir() or not any(to.iterdir()):
    return None
  if not options.overwrite:
    raise strict.ConfigError(
      f"--to: {to} is there and not empty; --overwrite replaces an export"
    )
  if not (to / PROVENANCE).is_file():
    raise strict.ConfigError(
      f"--to: {to} is no export, it has no {PROVENANCE}, and is not replaced; "
      "name another folder"
    )
  return lineage.written(to / PROVENANCE, "name another folder with --to")


def _keep_others(
  old: pathlib.Path, new: pathlib.Path, own: lineage.Written
) -> None:
  """Copies what others than an export have put into its folder."""
  if (old / CARD).is_file() and not own.is_own_card(old / CARD):
    shutil.copy2(old / CARD, new / CARD)
    logging.warning(
      "%s is not as an export wrote it, or an earlier version did: it stays, "
      "with figures of then; deleted, the next export writes it anew",
      old / CARD,
    )
  for path in old.rglob("*"):
    name = path.relative_to(old)
    is_file = path.is_symlink() or not path.is_dir()
    if is_file and str(name) not in own.files and not (new / name).exists():
      (new / name).parent.mkdir(parents=True, exist_ok=True)
      shutil.copy2(path, new / name, follow_symlinks=False)


def _check_packages() -> None:
  """Raises ConfigError where a graph cannot be written or run."""
  for package in ("onnx", "onnxruntime"):
    if importlib.util.find_spec(package) is None:
      raise strict.ConfigError(
        f"--onnx: {package} is not installed; it comes with the extra: pip "
        "install 'prod_jax[onnx]'"
      )


def _write_graphs(
  to: pathlib.Path, trained: Trained, parts: Sequence[Part], options: Options
) -> dict[str, Any]:
  """Writes the graphs; returns what each form of the model is worth.

  Raises:
    ConfigError: the data to measure it on is not there, the graph does not
      compute what the model does, or it loses too much.
  """
  from prod_jax.export import quality, runtime

  sample = quality.sample_of(trained)
  ours = quality.ours(trained, sample)
  forms: dict[str, dict[str, Any]] = {
    "prod_jax": {"figures": quality.measure(trained, sample, ours)}
  }
  for form, file in (("onnx", runtime.FLOAT), ("int8", runtime.INT8)):
    if form == "int8" and not options.int8:
      continue
    try:
      for part in parts:
        if form == "onnx":
          runtime.write(to / part.name, trained, part)
        else:
          runtime.quantise(to / part.name)
      theirs = quality.of_graphs(trained, sample, parts, to, file)
    except Exception as error:  # the libraries have errors of their own
      reason = " ".join(str(error).split())
      raise strict.ConfigError(
        f"--{form}: the graph cannot be written and run "
        f"({type(error).__name__}: {reason}); leave out --{form}"
      ) from error
    forms[form] = {
      "figures": quality.measure(trained, sample, theirs),
      "difference": quality.difference(ours, theirs),
      "bytes": sum(
        (to / p.name / runtime.FOLDER / file).stat().st_size for p in parts
      ),
    }
  off = forms["onnx"]["difference"]
  if off > _MOST_DIFFERENCE:
    raise strict.ConfigError(
      f"--onnx: the graph is off by {off:.1e} from our own model, more than "
      f"{_MOST_DIFFERENCE}; leave out --onnx and --int8"
    )
  if options.int8:
    before, after = (forms[f]["figures"] for f in ("prod_jax", "int8"))
    quality.check_loss(before, after, options.most_loss)
  return {"sample": quality.described(sample), "forms": forms}
