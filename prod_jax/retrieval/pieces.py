"""A block in the making: what is done of it, shown by batch and kept in pieces.

A work over texts hands on what each batch gave. About once a minute that is
saved, and whoever makes the block again begins behind it. Batches are the same
each time, and so is the block, to the last bit.
"""

import pathlib
import time

import numpy as np
from absl import logging

from prod_jax import progress, storage
from prod_jax.processes import Processes

SECONDS = 60  # between two pieces
_LOOK = 1  # seconds between two looks whether the run is to stop


class Counter:
  """Rows of blocks that are done, as a meter shows them.

  Args:
    meter: it shows whole rows, where a batch makes a part of one.
  """

  def __init__(self, meter: progress.Meter):
    self._meter, self._done = meter, float(meter.done)

  def add(self, rows: float) -> None:
    """Counts what a batch has made."""
    self._done += rows
    self._show(int(self._done + 1e-6))

  def up_to(self, rows: int) -> None:
    """Counts all of a block that is whole."""
    self._done = rows
    self._show(rows)

  @property
  def rows(self) -> int:
    """How many are whole."""
    return self._meter.done

  @property
  def said(self) -> str:
    """How much it is, for whoever stops it."""
    meter = self._meter
    return f"{meter.name} with {meter.done} of {meter.total} {meter.unit} made"

  def _show(self, rows: int) -> None:
    self._meter.add(rows - self._meter.done)


class Pieces:
  """What `forward.over_texts` has made of a block, as its watch.

  Args:
    folder: of the pieces.
    rows: of the block, however many texts it takes to make them.
    counter: of all blocks.
    processes: which may stop between two batches.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    rows: float | int,
    counter: Counter,
    processes: Processes,
  ):
    self._folder, self._rows, self._counter = folder, rows, counter
    self._processes = processes

  def split(self, parts: int) -> list["Pieces"]:
    """Of a block that takes several works over texts, one for each."""
    return [
      Pieces(
        self._folder / str(part),
        self._rows / parts,
        self._counter,
        self._processes,
      )
      for part in range(parts)
    ]

  def begin(self, out: np.ndarray) -> np.ndarray:
    """Takes the array that results go to, and fills in those that are kept.

    Returns:
      bool, of each row of `out` whether it is there.
    """
    self._processes.fetch(self._folder)
    done = np.zeros(len(out), bool)
    kept = sorted(self._folder.glob("*.npz"))
    for path in kept:
      try:
        with np.load(path, allow_pickle=False) as piece:
          rows, values = piece["rows"], piece["values"]
        out[rows] = values
        done[rows] = True
      except Exception as error:  # of numpy, zip or zlib, by where it is torn
        self._leave_out(path, error)
    self._out = out
    self._number = int(kept[-1].stem) + 1 if kept else 0
    self._fresh: list[np.ndarray] = []
    self._each = self._rows / max(len(out), 1)
    self._saved = self._looked = time.monotonic()
    if kept:
      self._counter.add(self._each * int(done.sum()))
    return done

  def made(self, rows: np.ndarray) -> None:
    """Takes note of rows that are there now; saves them where it is time.

    Raises:
      Preempted: the run has to stop; what was made is saved.
    """
    rows = np.unique(rows)  # a batch is filled up with copies of a row
    self._fresh.append(rows)
    self._counter.add(self._each * len(rows))
    now = time.monotonic()
    if now - self._saved >= SECONDS:
      self._save()
      self._saved = now
    if now - self._looked >= _LOOK:
      self._looked = now
      if self._processes.stopping():
        self._save()
        self._processes.leave_if_stopped(
          f"{self._counter.said}; all of them are saved"
        )

  def _leave_out(self, path: pathlib.Path, error: Exception) -> None:
    """Deletes a piece that is damaged; its rows are made again."""
    logging.warning("%s is damaged, and made again: %s", path, error)
    path.unlink()
    self._processes.remote(path).unlink(missing_ok=True)

  def _save(self) -> None:
    if not self._fresh:
      return
    self._folder.mkdir(parents=True, exist_ok=True)
    path = self._folder / f"{self._number:06d}.npz"
    rows = np.concatenate(self._fresh)
    with storage.whole_file(path) as part, part.open("wb") as file:
      np.savez(file, rows=rows, values=self._out[rows])
    self._processes.publish(path)
    self._number, self._fresh = self._number + 1, []
