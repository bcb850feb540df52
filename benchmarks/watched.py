"""Runs of the command, watched from outside: memory, handles, threads, time.

What is read of a process is what Linux says in /proc. Memory is that which the
process has made itself (anonymous pages), and beside it the pages of files
that it has mapped, which the system takes back where it needs them.
"""

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

SECONDS = 0.25  # between two looks
_TICKS = os.sysconf("SC_CLK_TCK")
_OPENS, _PROC = ("fd", "task"), pathlib.Path("/proc")


class Sample(NamedTuple):
  """A look at a process.

  Attributes:
    seconds: since it was started.
    at: how far its work is.
    own_mib: of memory that it has made.
    files_mib: of pages of files.
    most_mib: of both together, at any time so far; or of a process that it has
      started, where that has more.
    handles: that are open.
    threads: at work or waiting.
    cpu: seconds of a core that it has taken.
  """

  seconds: float
  at: float
  own_mib: float
  files_mib: float
  most_mib: float
  handles: int
  threads: int
  cpu: float


class Watched(NamedTuple):
  """A process that has come to its end, and what was seen of it.

  Attributes:
    samples: in the order of time.
    seconds: from its start to its end.
    cpu: seconds of a core, those of its own children included.
    log: what it has said.
  """

  samples: list[Sample]
  seconds: float
  cpu: float
  log: str


def run(
  line: Sequence[str],
  log: pathlib.Path,
  *,
  processes: int = 1,
  address: str = "",
  at: Callable[[], float] = lambda: 0.0,
) -> list[Watched]:
  """Runs a command of prod_jax, in one or several processes.

  Args:
    line: its name and its arguments.
    log: file of what it says; of a second process with its number behind.
    processes: how many share the run.
    address: where they meet.
    at: how far the work is.

  Raises:
    RuntimeError: one of them has failed.
  """
  logs = [log.with_name(f"{log.name}{i or ''}") for i in range(processes)]
  began = time.monotonic()
  running = []
  for i, path in enumerate(logs):
    meeting = [
      f"--coordinator={address}",
      f"--processes={processes}",
      f"--process_id={i}",
    ]
    running.append(_start([*line, *(meeting if address else ())], path))
  try:
    ended = _watch(running, began, at)
  finally:
    for process in running:
      if process.poll() is None:
        process.send_signal(signal.SIGKILL)
        process.wait()
  found = []
  for process, path, (samples, seconds, cpu) in zip(
    running, logs, ended, strict=True
  ):
    said = path.read_text(encoding="utf-8")
    if process.returncode:
      raise RuntimeError(f"{' '.join(line)}: {said[-3000:]}")
    found.append(Watched(samples, seconds, cpu, said))
  return found


def peak(samples: Sequence[Sample], key: str) -> float:
  """The most of it in any sample."""
  return max(getattr(sample, key) for sample in samples)


def _start(line: Sequence[str], log: pathlib.Path) -> subprocess.Popen:
  # A cache or flags of the user's would be part of what is measured.
  kept = {k: v for k, v in os.environ.items() if k[:4] not in ("JAX_", "XLA_")}
  with log.open("w", encoding="utf-8") as file:
    return subprocess.Popen(
      [sys.executable, "-m", f"prod_jax.cli.{line[0]}", *line[1:]],
      stdout=file,
      stderr=file,
      env={**kept, "JAX_PLATFORMS": "cpu"},
    )


def _watch(
  running: Sequence[subprocess.Popen],
  began: float,
  at: Callable[[], float],
) -> list[tuple[list[Sample], float, float]]:
  """Looks until all have ended: samples, seconds and cpu of each."""
  seen: list[list[Sample]] = [[] for _ in running]
  ends: dict[int, tuple[float, float]] = {}
  while len(ends) < len(running):
    time.sleep(SECONDS)
    far = at()
    for i, process in enumerate(running):
      if i in ends:
        continue
      sample = look(process.pid, time.monotonic() - began, far)
      if sample:
        seen[i].append(sample)
      if usage := _ended(process):
        ends[i] = time.monotonic() - began, usage
        if process.returncode:  # the others would wait for it
          return [(s, *ends.get(i, (0.0, 0.0))) for i, s in enumerate(seen)]
  return [(samples, *ends[i]) for i, samples in enumerate(seen)]


def _ended(process: subprocess.Popen) -> float:
  """Seconds of a core that it took, 0 while it runs."""
  pid, status, usage = os.wait4(process.pid, os.WNOHANG)
  if not pid:
    return 0.0
  process.returncode = os.waitstatus_to_exitcode(status)
  return usage.ru_utime + usage.ru_stime


def look(pid: int | str, seconds: float, at: float) -> Sample | None:
  """A sample of a process; None where it has just ended."""
  try:
    facts = dict(_status(pid))
    most = max(facts["VmHWM"], *_of_children(pid)) / 1024
    stat = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    handles, threads = (
      len(os.listdir(_PROC / str(pid) / kind)) for kind in _OPENS
    )
    own, files, shared = (
      facts[name] / 1024 for name in ("RssAnon", "RssFile", "RssShmem")
    )
  except (FileNotFoundError, ProcessLookupError, KeyError):
    return None
  cpu = (int(stat[11]) + int(stat[12])) / _TICKS
  return Sample(seconds, at, own + shared, files, most, handles, threads, cpu)


def _status(pid: int | str) -> Iterator[tuple[str, int]]:
  """The numbers of /proc/PID/status that are in kB."""
  for line in _read(_PROC / str(pid) / "status").splitlines():
    name, _, value = line.partition(":")
    if value.endswith(" kB"):
      yield name, int(value.split()[0])


def _of_children(pid: int | str) -> Iterator[int]:
  """The most kB that each process has had which this one has started."""
  yield 0
  for path in (_PROC / str(pid) / "task").glob("*/children"):
    for child in _read(path).split():
      yield dict(_status(child)).get("VmHWM", 0)


def _read(path: pathlib.Path) -> str:
  """What a file of /proc says, nothing where its process has just ended."""
  try:
    return path.read_text()
  except (FileNotFoundError, ProcessLookupError):
    return ""


def thinned(samples: Sequence[Sample], most: int = 200) -> list[list[float]]:
  """No more than so many of the samples, as JSON."""
  every = -(-len(samples) // most)
  kept = [*samples[::every], *samples[-1:]]
  return [[round(x, 2) for x in sample] for sample in kept]
