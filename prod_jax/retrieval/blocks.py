"""Long work in blocks that survive a kill, divided between processes.

Each block is one folder, complete or absent. A second run computes the blocks
that are missing and reads the others, so nothing done is done again, whatever
the number of processes was.
"""

import pathlib
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from prod_jax import progress, storage
from prod_jax.processes import Processes

Block = Mapping[str, np.ndarray]

FOLDER = "blocks"  # of a stage, until it is done
_WHOLE = ".whole"  # marks a block in a bucket, where folders grow file by file


def compute(
  folder: pathlib.Path,
  rows: int,
  block_rows: int,
  work: Callable[[int, int], Block],
  *,
  processes: Processes,
  name: str,
  unit: str,
) -> list[pathlib.Path]:
  """Makes every block of `rows` rows that is not there yet.

  Returns when all processes have made their part.

  Args:
    folder: one folder a block, named by its rows.
    rows: in total.
    block_rows: of a block; the last one may be shorter.
    work: (start, stop) to named arrays; must not need other processes.
    processes: whose processes divide the blocks.
    name: of the work, for the progress bar and log lines.
    unit: what a row is, in the plural.

  Returns:
    The folders of all blocks in order. A block that another process made is
    there for `gather`.

  Raises:
    Preempted: between two blocks.
  """
  folder.mkdir(parents=True, exist_ok=True)
  starts = range(0, rows, block_rows)
  spans = [(start, min(start + block_rows, rows)) for start in starts]
  # Blocks of another size have other names.
  paths = [folder / f"{start:09d}-{stop:09d}" for start, stop in spans]
  whole = _whole(folder, processes)
  missing = [i for i, path in enumerate(paths) if path.name not in whole]
  # All have looked before anyone writes, and so divide the same blocks.
  processes.meet(f"{name}: {len(missing)} blocks to make")
  own = [(paths[i], *spans[i]) for i in processes.own(missing)]
  total = sum(stop - start for _, start, stop in own)
  began, fresh = time.monotonic(), 0
  with progress.Meter(
    name, total, seconds=0, quiet=not processes.first, unit=f" {unit}"
  ) as meter:
    for path, start, stop in own:
      processes.leave_if_stopped(
        f"{name} with {fresh} of {total} {unit} made now; all blocks that are "
        "made are saved"
      )
      _write(path, work(start, stop), processes)
      fresh += stop - start
      rate = fresh / max(time.monotonic() - began, 1e-9)
      meter.add(
        stop - start, "%s: %d of %d %s, %.0f/s", name, stop, rows, unit, rate
      )
  processes.meet(f"{name}: all blocks")
  return paths


def gather(
  paths: Sequence[pathlib.Path], names: Sequence[str], processes: Processes
) -> list[np.ndarray]:
  """The named arrays of all blocks, each in one piece."""
  for path in paths:
    processes.fetch(path)
  return [
    np.concatenate([read(path, name) for path in paths]) for name in names
  ]


def read(path: pathlib.Path, name: str) -> np.ndarray:
  """Memory-maps one array of a block."""
  return np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False)


def _whole(folder: pathlib.Path, processes: Processes) -> set[str]:
  """Names of the blocks that are complete."""
  shared = processes.remote(folder)
  if shared == folder:
    return {p.name for p in folder.iterdir() if not p.suffix}
  if not shared.exists():
    return set()
  return {p.stem for p in shared.iterdir() if p.suffix == _WHOLE}


def _write(path: pathlib.Path, block: Block, processes: Processes) -> None:
  # A block of this name may be there, made by a run that did not publish it.
  with storage.whole_folder(path) as part:
    for name, array in block.items():
      np.save(part / f"{name}.npy", array)
  processes.publish(path)
  shared = processes.remote(path)
  if shared != path:
    # The mark comes last: all files of the block are in the bucket by now.
    shared.with_name(f"{path.name}{_WHOLE}").write_text("")
