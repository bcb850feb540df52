"""Keeps a run going until it is done: what to do next, from what there is.

Each round looks at the slices and at the program on every VM, and does one
thing. Nothing is remembered but how often something failed, so that this can be
stopped and started at any time, also on another machine.
"""

import logging
import time
from collections.abc import Mapping

from launch.cloud import Cloud, CloudError, State

# Exit codes of prod_jax.main.
DONE, CONFIG, PREEMPTED, PEER_LOST, FIRST_LOST = "0", "2", "75", "76", "134"
START_AGAIN = {PREEMPTED, PEER_LOST, FIRST_LOST, "stopped", "none"}

FIRST_PAUSE, LAST_PAUSE = 60, 600  # seconds, doubling in between
MAX_TROUBLES = 10  # in a row: more than an hour


def verdict(runs: Mapping[str, str], hosts: int) -> str:
  """What the states of the program on the VMs amount to.

  Args:
    runs: host to state, as worker.sh tells it.
    hosts: how many VMs there are.

  Returns:
    "done", "config", "failed", "again", "running" or "unreachable".
  """
  states = set(runs.values())
  if CONFIG in states:
    return "config"
  if states & {PREEMPTED, "lost"}:
    return "again"  # a VM goes down: what the others ended with is its doing
  if states - START_AGAIN - {DONE, "running"}:
    return "failed"
  if states == {FIRST_LOST} and len(runs) == hosts:
    return "failed"  # nobody was lost: the first process itself has aborted
  if states & START_AGAIN:
    return "again"
  if len(runs) < hosts:
    return "unreachable"
  return "done" if states == {DONE} else "running"


def restart(cloud: Cloud) -> int:
  """Creates, syncs, runs and restarts until there is nothing left to do.

  Returns:
    0 if the run is done, 2 if its config or data are wrong, 1 if it failed
    more than `max_restarts` times or the cloud did not answer.
  """
  cloud.pack()  # later starts are to run the same code
  failures = troubles = pauses = 0
  while True:
    try:
      now, slices, runs = _look(cloud)
      if now == "done":
        return 0
      if now == "config":
        logging.error("config or data error, not started again; see the logs")
        return 2
      failed = now in ("failed", "refused")
      if failed and failures == cloud.settings.max_restarts:
        logging.error("failed %d times, not started again", failures + 1)
        return 1
      _act(cloud, now, slices, runs)
      failures += failed  # one that could not be answered is seen again
      troubles = 0
    except CloudError as error:
      now = "trouble"
      troubles += 1
      logging.warning("%d of %d: %s", troubles, MAX_TROUBLES, error)
      if troubles == MAX_TROUBLES:
        return 1
    pauses = pauses + 1 if now in ("waiting", "trouble") else 0
    time.sleep(pause(pauses))


def await_slices(cloud: Cloud) -> State:
  """Waits for the slices that were asked for.

  Raises:
    CloudError: if they will not come.
  """
  pauses = 0
  while True:
    slices = cloud.look()
    logging.info("%s: %s", slices.what, slices.about)
    if slices.what == "ready" or cloud.dry_run:
      return slices
    if slices.what != "waiting":
      raise CloudError(f"{slices.what}: {slices.about}")
    time.sleep(pause(pauses))
    pauses += 1


def pause(times: int) -> float:
  """Seconds to wait when nothing has changed so many times."""
  return min(LAST_PAUSE, FIRST_PAUSE * 2**times)


def summary(runs: Mapping[str, str]) -> str:
  """`running on 7 VMs; 1 on t1v-n-5-w-3`."""
  hosts: dict[str, list[str]] = {}
  for host, state in sorted(runs.items()):
    hosts.setdefault(state, []).append(host)
  return "; ".join(
    f"{state} on {names[0] if len(names) == 1 else f'{len(names)} VMs'}"
    for state, names in hosts.items()
  )


def _look(cloud: Cloud) -> tuple[str, State, dict[str, str]]:
  slices = cloud.look()
  now, runs, about = slices.what, {}, slices.about
  if now == "ready":
    runs = cloud.runs()
    now, about = verdict(runs, slices.hosts), summary(runs)
  logging.info("%s: %s", now, about)
  if now == "unreachable":
    raise CloudError(f"{len(runs)} of {slices.hosts} VMs answered")
  return now, slices, runs


def _act(
  cloud: Cloud, now: str, slices: State, runs: Mapping[str, str]
) -> None:
  if now == "absent":
    cloud.create()
  elif now in ("preempted", "refused"):
    cloud.delete()  # and ask again in the next round
  elif now in ("again", "failed"):
    cloud.stop()
    if "none" in runs.values():
      cloud.sync()
    cloud.run(slices.hosts)
