"""Work in several processes: its order, its errors, and its end."""

import subprocess
import sys

import pytest

from prod_jax.sets import parallel


@pytest.fixture
def two_cores(monkeypatch):
  monkeypatch.setattr(parallel, "_cores", lambda: 2)


def test_order_and_errors(two_cores):
  tasks = [-3, -1, -2, -5]
  found = parallel.in_order(abs, tasks, name="x")
  assert list(found) == [3, 1, 2, 5]
  with pytest.raises(TypeError, match="bad operand"):
    list(parallel.in_order(abs, [1, "a"], name="x"))


def test_few_tasks_are_taken_ahead(two_cores):
  taken = []

  class Tasks(list):
    def __iter__(self):
      for task in range(len(self)):
        taken.append(task)
        yield self[task]

  found = parallel.in_order(abs, Tasks(range(50)), name="x")
  next(found)
  assert len(taken) < 10
  found.close()


def test_workers_end_with_a_killed_parent():
  program = """
import multiprocessing, time, threading
from prod_jax.sets import parallel
parallel._cores = lambda: 2
work = parallel.in_order(time.sleep, [600, 600], name="x")
threading.Thread(target=next, args=(work,), daemon=True).start()
while len(multiprocessing.active_children()) < 2:
  time.sleep(0.01)
print("ready", flush=True)
time.sleep(600)
"""
  parent = subprocess.Popen(
    [sys.executable, "-c", program],
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
  )
  assert parent.stdout.readline() == b"ready\n"
  parent.kill()
  # The workers hold the other end too: it is closed when they are gone.
  assert parent.communicate(timeout=60)[0] == b""
