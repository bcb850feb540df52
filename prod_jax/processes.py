"""The processes of a run: who they are, where they meet, when they stop.

Several processes, one a host of a TPU slice, run the same stages in the same
order. Training is one program over all their devices. Everything else is
divided in blocks, each made by one process and left in the shared working
folder; the first process puts them together while the others wait.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeVar

import jax
from absl import logging
from jax.experimental import multihost_utils

from prod_jax import coordination, run_files, storage

PREEMPTED = 75  # exit code: asked to stop, everything is saved, start again

T = TypeVar("T")


class Preempted(Exception):
  """The run was asked to stop; the message says what is saved.

  Attributes:
    by_hand: whether it was Ctrl-C that asked.
  """

  by_hand = False


class Apart(RuntimeError):
  """Processes of a run that do not do the same."""


class Processes:
  """The processes of a run, as one of them sees it.

  Attributes:
    index: number of this process.
    count: how many there are.
    shared_folder: the working folder that all of them see.
    local_folder: the same on this machine, see `storage.twin`.
  """

  def __init__(self, workdir: storage.Path):
    self.index, self.count = jax.process_index(), jax.process_count()
    self.shared_folder, self.local_folder = workdir, storage.twin(workdir)
    self._stop = threading.Event()
    self._by_hand = False
    self._watch: coordination.Watch | None = None
    self._meetings = 0

  @property
  def first(self) -> bool:
    """Whether this is the one that writes logs, lists and figures."""
    return self.index == 0

  def own(self, items: Sequence[T]) -> Sequence[T]:
    """The items that are this process's part of a divided work."""
    return items[self.index :: self.count]

  # Meeting.

  def meet(self, what: str) -> None:
    """Waits until every process has come to the same place.

    Raises:
      Preempted: one of them has been asked to stop instead.
      Apart: they came to different places.
    """
    if self.count == 1:
      return
    number = self._meetings
    self._meetings += 1
    coordination.put(f"meet/{number}/{self.index}", what)
    while True:
      there = coordination.under(f"meet/{number}")
      outcome = "go" if len(there) == self.count else ""
      if self.stopping():
        outcome = "stop"
      if outcome:
        break
      time.sleep(0.05)
    # Somebody may have seen it otherwise: the first word counts for all.
    coordination.put(f"outcome/{number}", outcome)
    if coordination.get(f"outcome/{number}") == "stop":
      raise Preempted(f"stopped where the processes meet ({what})")
    if set(there.values()) != {what}:
      raise Apart(
        f"the processes are at different places: {there}. Do all run the same "
        "command, and see the same --workdir and data?"
      )

  def first_then_others(self, work: Callable[[], T]) -> T:
    """Calls `work` on the first process, then on the others.

    For what the first one leaves on a disk that the others may share.
    """
    if self.first:
      result = work()
    self.meet("prepared")
    return result if self.first else work()

  # Files in the shared folder.

  def remote(self, path: pathlib.Path) -> storage.Path:
    """Where a local path lies in the shared folder."""
    return self.shared_folder / str(path.relative_to(self.local_folder))

  def see_one_folder(self) -> None:
    """Checks that what the first process writes is what the others read.

    Raises:
      Apart: this process sees another working folder.
    """
    if self.count == 1:
      return
    mark = self.shared_folder / "MEETING.txt"
    if self.first:
      token = uuid.uuid4().hex
      storage.write_text(mark, token)
      coordination.put("meeting", token)
    self.meet("working folder")
    agreed, deadline = coordination.get("meeting"), time.monotonic() + 10
    while not (mark.exists() and mark.read_text() == agreed):
      if time.monotonic() > deadline:
        raise Apart(
          f"process {self.index} does not see what process 0 writes to "
          f"{self.shared_folder}; --workdir has to be one folder for all, on "
          "a shared disk or in a bucket"
        )
      time.sleep(0.5)

  def publish(self, path: pathlib.Path, but: Collection[str] = ()) -> None:
    """Copies a local file or folder to the shared folder, whatever is there."""
    if self.remote(path) != path:
      storage.copy(path, self.remote(path), but, anew=True)

  def fetch(self, path: pathlib.Path, but: Collection[str] = ()) -> None:
    """Copies a file or folder of the shared folder to here."""
    run_files.fetch(self.remote(path), path, but)

  def rename(self, path: pathlib.Path, to: pathlib.Path) -> None:
    """Gives a folder another name, here and in the shared folder."""
    shared = self.remote(path)
    shared.rename(self.remote(to))
    if shared != path and path.exists():
      path.rename(to)

  def remove(self, path: pathlib.Path) -> None:
    """Deletes a folder, here and in the shared folder."""
    shutil.rmtree(path, ignore_errors=True)
    if self.remote(path) != path and self.remote(path).exists():
      remote: Any = self.remote(path)  # of a bucket
      remote.rmtree()

  # Stopping.

  def listen(self) -> None:
    """Takes SIGTERM, a preemption notice, and Ctrl-C as a wish to stop soon.

    A second one ends the process as ever. Where Ctrl-C is ignored, as by what a
    shell runs in the background, it stays so.
    """

    def stop(number: int, frame: Any) -> None:
      del frame
      self._stop.set()
      signal.signal(number, before[number])
      if number == signal.SIGINT:
        self._by_hand = True
        # Not by a logger, which may be at work as the signal comes.
        os.write(2, b"\nstops and saves; Ctrl-C again ends it at once\n")

    before: dict[int, Any] = {signal.SIGTERM: signal.SIG_DFL}
    if (ctrl_c := signal.getsignal(signal.SIGINT)) != signal.SIG_IGN:
      before[signal.SIGINT] = ctrl_c
    for number in before:
      signal.signal(number, stop)

  @property
  def by_hand(self) -> bool:
    """Whether Ctrl-C has asked this process to stop."""
    return self._by_hand

  def stopping(self) -> bool:
    """Whether any process has been asked to stop."""
    if self.count > 1:
      if self._stop.is_set():
        coordination.put("stop", "")
      return coordination.get("stop") is not None
    return self._stop.is_set()

  def leave_if_stopped(self, saved: str) -> None:
    """Raises Preempted, whose message ends in `saved`, if it is time to."""
    if self.stopping():
      raise Preempted(f"stopped {saved}")

  def stops_before(self, stage: str, step: int) -> bool:
    """Whether training stops before `step`; all processes say the same.

    A process that is asked to stop before step s names step s + 2: no other
    one can be further, because the loop looks at the metrics of step s, which
    need everyone, before it begins s + 2. The notice of JAX's own preemption
    service, which Orbax asks with the same steps, counts too.
    """
    if self.count == 1:
      return self._stop.is_set()
    if self._stop.is_set():
      coordination.put(f"stops/{stage}", str(step + 2))
      coordination.put("stop", "")
    agreed = coordination.get(f"stops/{stage}")
    notice = multihost_utils.reached_preemption_sync_point(step)
    return notice or (agreed is not None and step >= int(agreed))

  # Leaving.

  def watch(self) -> None:
    """Ends this process, until it leaves, where another one is lost."""
    if self.count > 1:
      self._watch = coordination.Watch(self.index, self.count)

  def leave(self) -> None:
    """Says good-bye, and waits until all have."""
    if self._watch:
      self._watch.leave()


@contextlib.contextmanager
def run_of(
  workdir: storage.Path, coordinator: str, count: int, process_id: int
) -> Iterator[Processes]:
  """The processes of this run, from its connection to its end.

  All processes reach it together, done or preempted. One that fails does not
  wait for anyone: see `end`.

  Args:
    workdir: that all processes see.
    coordinator, count, process_id: as of `coordination.connect`.
  """
  coordination.connect(coordinator, count, process_id)
  processes = Processes(workdir)
  processes.listen()
  processes.watch()
  if not processes.first:
    logging.set_verbosity(logging.WARNING)
  try:
    yield processes
  except Preempted as stopped:
    processes.leave()  # all of them stop, so that this is an end like any other
    stopped.by_hand = processes.by_hand
    raise
  processes.leave()


def end(code: int, error: BaseException) -> None:
  """Ends this process with a code, and the others of its run with the same.

  A failed computation may mean that another process is gone: then the watch
  ends this one, with the name of the other.
  """
  if not jax.distributed.is_initialized():
    sys.exit(code)
  if isinstance(error, jax.errors.JaxRuntimeError):
    logging.error("a computation failed; is another process gone?")
    time.sleep(2 * coordination.LOST_SECONDS)
  said = " ".join(f"{type(error).__name__}: {error}".split())
  coordination.fail(jax.process_index(), code, said)
  logging.flush()
  os._exit(code)  # at a usual end JAX waits for processes that are gone
