"""Long work in blocks that survive a kill, divided between processes.

Each block is one folder, complete or absent. A second run computes the blocks
that are missing and reads the others, so nothing done is done again, whatever
the number of processes was. A block that takes long is kept in pieces
meanwhile, see pieces.py.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from absl import logging

from prod_jax import arrays, artefacts, memory, progress, storage
from prod_jax.processes import Processes
from prod_jax.retrieval.pieces import Counter, Pieces

Block = Mapping[str, np.ndarray]

FOLDER = "blocks"  # of a stage, until it is done
_PIECES = ".pieces"  # of a block that is not there yet
_WHOLE = ".whole"  # marks a block in a bucket, where folders grow file by file


def compute(
  folder: pathlib.Path,
  rows: int,
  block_rows: int,
  work: Callable[[int, int, Pieces], Block],
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
    work: (start, stop, pieces) to named arrays; must not need other processes.
      What it makes of texts it may keep in the pieces.
    processes: whose processes divide the blocks.
    name: of the work, for the progress bar and log lines.
    unit: what a row is, in the plural.

  Returns:
    The folders of all blocks in order. A block that another process made is
    there for `gather`.

  Raises:
    Preempted: between two blocks, or two batches of one.
  """
  folder.mkdir(parents=True, exist_ok=True)
  starts = range(0, rows, block_rows)
  spans = [(start, min(start + block_rows, rows)) for start in starts]
  paths = [folder / f"{start:09d}-{stop:09d}" for start, stop in spans]
  whole, left = _there(folder, processes)
  missing = [i for i, path in enumerate(paths) if path.name not in whole]
  # All have looked before anyone writes, and so divide the same blocks.
  processes.meet(f"{name}: {len(missing)} blocks to make")
  if processes.first:
    # Of blocks that were whole before a kill could take their pieces.
    for name_left in left & whole:
      processes.remove(_pieces_of(folder / name_left))
  own = [(paths[i], *spans[i]) for i in processes.own(missing)]
  total = sum(stop - start for _, start, stop in own)
  # Alone it has all of the work to show; one of several has its part.
  done = rows - total if processes.count == 1 else 0
  with progress.Meter(
    name, done + total, unit, initial=done, quiet=not processes.first
  ) as meter:
    _make(own, work, Counter(meter), processes)
  processes.meet(f"{name}: all blocks")
  return paths


def _make(
  own: Sequence[tuple[pathlib.Path, int, int]],
  work: Callable[[int, int, Pieces], Block],
  counter: Counter,
  processes: Processes,
) -> None:
  """Makes blocks, each a folder with its first and last row."""
  made = counter.rows
  for path, start, stop in own:
    processes.leave_if_stopped(
      f"{counter.said}; all blocks that are made are saved"
    )
    kept = _pieces_of(path)
    pieces = Pieces(kept, stop - start, counter, processes)
    _write(path, work(start, stop, pieces), processes)
    made += stop - start
    counter.up_to(made)
    memory.give_back()
    if kept.exists():
      processes.remove(kept)


def gather(
  paths: Sequence[pathlib.Path], names: Sequence[str], processes: Processes
) -> list[np.ndarray]:
  """The named arrays of all blocks, each in one piece."""
  for path in paths:
    processes.fetch(path)
  return [
    np.concatenate([read(path, name) for path in paths]) for name in names
  ]


def forget(path: pathlib.Path, processes: Processes) -> None:
  """Removes a block of which a part is lost, so that it is made again."""
  _mark_of(processes.remote(path)).unlink(missing_ok=True)
  processes.remove(path)


def read(path: pathlib.Path, name: str) -> np.ndarray:
  """Memory-maps one array of a block."""
  return arrays.read(path / f"{name}.npy", mapped=True)


def _there(
  folder: pathlib.Path, processes: Processes
) -> tuple[set[str], set[str]]:
  """Names of the blocks that are complete, and of those that have pieces.

  A block on a disk that is not as it was written is made again.
  """
  shared = processes.remote(folder)
  mark = "" if shared == folder else _WHOLE
  found = [*shared.iterdir()] if shared.exists() else []
  whole, left = (
    {path.stem for path in found if path.suffix == suffix}
    for suffix in (mark, _PIECES)
  )
  if not mark:
    for name in [*whole]:
      for file, wrong in artefacts.broken(folder / name).items():
        logging.warning(
          "%s %s: the block is made again", folder / name / file, wrong
        )
        whole.discard(name)
  return whole, left


def _pieces_of(block: pathlib.Path) -> pathlib.Path:
  return block.with_name(f"{block.name}{_PIECES}")


def _write(path: pathlib.Path, block: Block, processes: Processes) -> None:
  # A block of this name may be there, made by a run that did not publish it.
  with storage.whole_folder(path) as part:
    for name, array in block.items():
      np.save(part / f"{name}.npy", array)
    artefacts.seal(part)
  processes.publish(path)
  shared = processes.remote(path)
  if shared != path:
    # The mark comes last: all files of the block are in the bucket by now.
    _mark_of(shared).write_text("")


def _mark_of(block: storage.Path) -> storage.Path:
  """What says in a bucket that a block is whole."""
  return block.with_name(f"{block.name}{_WHOLE}")
