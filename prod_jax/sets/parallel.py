"""Work on many pieces in several processes, with progress.

Which pieces, and what is done with them, is the callers'.
"""

import collections
import concurrent.futures
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from prod_jax import progress

Task = TypeVar("Task")
Result = TypeVar("Result")

_AHEAD = 2  # tasks under way for each process


def in_order(
  work: Callable[[Task], Result],
  tasks: Sequence[Task],
  *,
  name: str,
) -> Iterator[Result]:
  """Yields what `work` makes of each task, in the order of the tasks.

  There is a process for each core that this one may use.

  Args:
    work: can be pickled, as tasks and results can. What it raises is raised
      here.
    tasks: a single one is worked on in this process.
    name: of the work, for the progress.
  """
  processes = min(_cores(), len(tasks))
  results = _results(work, tasks, processes)
  yield from progress.shown(results, name, "shards", len(tasks))


def _results(
  work: Callable[[Task], Result], tasks: Sequence[Task], processes: int
) -> Iterator[Result]:
  if processes <= 1:
    yield from map(work, tasks)
    return
  # Not forked: JAX may have started threads in this process.
  context = multiprocessing.get_context("spawn")
  pool = concurrent.futures.ProcessPoolExecutor(
    processes, context, initializer=_end_with_parent
  )
  with pool:
    waiting: collections.deque = collections.deque()
    try:
      for task in tasks:
        waiting.append(pool.submit(work, task))
        if len(waiting) >= _AHEAD * processes:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    finally:
      pool.shutdown(wait=False, cancel_futures=True)


def _cores() -> int:
  if hasattr(os, "sched_getaffinity"):  # Linux, where a job may have a part
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def _end_with_parent() -> None:
  """Lets no worker outlive a parent that was killed."""
  parent = multiprocessing.parent_process()

  def watch() -> None:
    if parent:
      parent.join()
    os._exit(1)

  threading.Thread(target=watch, daemon=True).start()
