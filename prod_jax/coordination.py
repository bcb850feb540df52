"""What processes of a run tell one another: small keys and values, and beats.

JAX's coordination service carries them. It also ends every process when one
of them dies; the watch here only does so earlier, with the name of the lost
one and an exit code of its own. Who waits for what is processes.py.
"""

import os
import pathlib
import socket
import threading
import time
from typing import Any

import jax
from absl import logging
from jax._src import distributed  # the service's client has no public name

from prod_jax import strict

LOST = 76  # exit code: another process of the run is gone, start again

_ROOT = "prod_jax"
_BEAT_SECONDS = 2.0
LOST_SECONDS = 20.0
# JAX ends us at once when process 0 dies, and after this for others.
_SERVICE_SECONDS = 45


def connect(coordinator: str, count: int, process_id: int) -> None:
  """Joins the processes of a run; must come before any use of a device.

  On TPU VMs all three are found out; elsewhere the arguments say them. A
  process alone has nothing to join.

  Args:
    coordinator: "host:port" of process 0, "" on TPU VMs.
    count: how many there are, 0 on TPU VMs.
    process_id: of this one, -1 on TPU VMs.

  Raises:
    ConfigError: only some of the three are given, or they do not fit.
  """
  given = (bool(coordinator), count > 0, process_id >= 0)
  if any(given) and not (all(given) and process_id < count):
    raise strict.ConfigError(
      f"--coordinator={coordinator} --processes={count} "
      f"--process_id={process_id}: a run of several processes needs all three, "
      "and numbers its processes from 0; a run of one needs none"
    )
  if any(given):
    jax.distributed.initialize(
      coordinator,
      count,
      process_id,
      heartbeat_timeout_seconds=_SERVICE_SECONDS,
    )
  elif _has_tpu():
    try:
      jax.distributed.initialize(heartbeat_timeout_seconds=_SERVICE_SECONDS)
    except ValueError as error:
      logging.info("one process: no others were found (%s)", error)


def put(key: str, value: str) -> None:
  """Sets a key; the first value stays."""
  try:
    _client().key_value_set(f"{_ROOT}/{key}", value)
  except jax.errors.JaxRuntimeError as error:
    if "ALREADY_EXISTS" not in str(error):
      raise


def get(key: str) -> str | None:
  """The value of a key, None where nobody has set it."""
  try:
    return _client().key_value_try_get(f"{_ROOT}/{key}")
  except jax.errors.JaxRuntimeError as error:
    if "NOT_FOUND" not in str(error):
      raise
    return None


def under(folder: str) -> dict[str, str]:
  """Values of the keys `folder`/NAME, by NAME."""
  found = _client().key_value_dir_get(f"{_ROOT}/{folder}/")
  return {key.rpartition("/")[2]: value for key, value in found}


class Watch:
  """Ends this process with code `LOST` soon after another one has died.

  Its thread is often inside of JAX's client. Python, when it ends, ends a
  thread that comes back from there, and C++ takes that for a fatal error: the
  process would end by SIGABRT. So `leave` comes first.
  """

  def __init__(self, index: int, count: int):
    host = f"{socket.gethostname()} pid {os.getpid()}"
    logging.info("process %d of %d: %s", index, count, host)
    self._index, self._count = index, count
    self._over = threading.Event()
    self._thread = threading.Thread(
      target=_beat, args=(index, count, host, self._over), daemon=True
    )
    self._thread.start()

  def leave(self) -> None:
    """Says good-bye; returns when all have, and the thread has ended.

    Until then the watch goes on: a process that is done waits for the others.
    JAX would let it wait for five minutes, and then end all of them.
    """
    put(f"gone/{self._index}", "")
    while not _all_gone(self._count):
      time.sleep(0.05)
    self._over.set()
    self._thread.join()


def _all_gone(count: int) -> bool:
  try:
    return len(under("gone")) == count
  except jax.errors.JaxRuntimeError as error:
    # The watch and JAX's own see to a service that stays away.
    logging.warning("the coordination service did not answer: %s", error)
    time.sleep(_BEAT_SECONDS)
    return False


def fail(index: int, code: int, error: str) -> None:
  """Tells the others to end with this code; returns when they can know it."""
  put(f"failed/{index}", f"{code} {error}")
  if index == 0:  # with whom the service goes
    time.sleep(2 * _BEAT_SECONDS)


def _beat(index: int, count: int, host: str, over: threading.Event) -> None:
  """Writes a beat, reads what the others write, until all is over."""
  last: dict[str, tuple[str, float]] = {}
  number = 0
  while not over.is_set():
    number += 1
    try:
      _client().key_value_set(
        f"{_ROOT}/beat/{index}", f"{number} {host}", allow_overwrite=True
      )
      failed, beats = under("failed"), under("beat")
    except jax.errors.JaxRuntimeError as error:
      # JAX's own watch sees to a service that stays away.
      logging.warning("the coordination service did not answer: %s", error)
      over.wait(_BEAT_SECONDS)
      continue
    if str(index) in failed:
      return  # this process ends by itself
    for name, failure in failed.items():
      code, _, said = failure.partition(" ")
      _end(int(code), f"process {name} of {count} has failed: {said}")
    now = time.monotonic()
    for name, beat in beats.items():
      if last.get(name, ("", 0.0))[0] != beat:
        last[name] = (beat, now)
      if now - last[name][1] > LOST_SECONDS:
        _end(
          LOST,
          f"process {name} of {count} ({beat.partition(' ')[2]}) has not been "
          f"heard of for {LOST_SECONDS:.0f} s. Start all of them again: the "
          "run goes on from what is saved",
        )
    over.wait(_BEAT_SECONDS)


def _end(code: int, why: str) -> None:
  """Ends this process, whose main thread may wait for the lost one for ever."""
  logging.error("%s; this one ends with code %d", why, code)
  logging.flush()
  os._exit(code)


def _client() -> Any:
  return distributed.global_state.client


def _has_tpu() -> bool:
  settings: Any = jax.config  # older versions of JAX do not type its options
  if settings.jax_platforms not in (None, "", "tpu"):
    return False
  devices = ("/dev/accel0", "/dev/vfio/0")
  return any(pathlib.Path(device).exists() for device in devices)
