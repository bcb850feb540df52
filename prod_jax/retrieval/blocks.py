"""Long work in blocks that survive a kill.

Each block is one file, complete or absent. A second run computes the blocks
that are missing and reads the others, so nothing done is done again.
"""

import pathlib
import sys
import time
from collections.abc import Callable, Mapping

import jax
import numpy as np
import tqdm
from absl import logging

Block = Mapping[str, np.ndarray]


def compute(
  folder: pathlib.Path,
  rows: int,
  block_rows: int,
  work: Callable[[int, int], Block],
  *,
  name: str,
  unit: str,
) -> list[pathlib.Path]:
  """Makes every block of `rows` rows that is not there yet.

  Args:
    folder: one folder a block, named by its first row.
    rows: in total.
    block_rows: of a block; the last one may be shorter.
    work: (start, stop) to named arrays.
    name: of the work, for the progress bar and log lines.
    unit: what a row is, in the plural.

  Returns:
    The folders of all blocks in order.
  """
  folder.mkdir(parents=True, exist_ok=True)
  starts = range(0, rows, block_rows)
  paths = [folder / f"{start:09d}" for start in starts]
  began, fresh = time.monotonic(), 0
  quiet = not sys.stderr.isatty() or jax.process_index() != 0
  bar = tqdm.tqdm(desc=name, total=rows, unit=f" {unit}", disable=quiet)
  for start, path in zip(starts, paths, strict=True):
    stop = min(start + block_rows, rows)
    if not path.exists():
      _write(path, work(start, stop))
      fresh += stop - start
      if quiet:
        rate = fresh / max(time.monotonic() - began, 1e-9)
        logging.info("%s: %d of %d %s, %.0f/s", name, stop, rows, unit, rate)
    bar.update(stop - start)
  bar.close()
  return paths


def read(path: pathlib.Path, name: str) -> np.ndarray:
  """Memory-maps one array of a block."""
  return np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False)


def _write(path: pathlib.Path, block: Block) -> None:
  part = path.with_name(f"{path.name}.part")
  part.mkdir(exist_ok=True)
  for name, array in block.items():
    np.save(part / f"{name}.npy", array)
  part.rename(path)
