"""A run of two processes, one of which is killed.

The other one has to end soon, and to say why. Then both are started again.
"""

import functools
import json
import signal
import socket
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from prod_jax import coordination, storage
from tests.chaos import commands, trials
from tests.chaos.commands import Ended, Shot
from tests.chaos.trials import Outcome

# Seconds in which both have to come, less than those of a pod, and that the
# other one has until it counts as hanging.
_JOIN, _ALONE = 60, 180.0
_TRIES = 10  # of hitting a process before its end, each in half the time
# What the other says: ours of a process behind the first, which it waits for,
# and JAX's own where the one is lost that keeps their service.
_SAID = ("Start all of them again", "another task died")
# Done, another one is lost, and JAX's abort, in which Python shows what all
# threads do, and may fail at one that is at work.
_ENDS = (0, coordination.LOST, -signal.SIGABRT, -signal.SIGSEGV)


# What is hit, as the report has it: a stage, and which of them is killed. The
# cluster is the first one's work, while the other waits.
HITS = {
  f"{stage}, process {victim} of 2": (stage, victim)
  for stage in ("train", "encode", "cluster", "mine")
  for victim in (1, 0)
}


class Room(trials.Room):
  """A room whose runs are of two processes."""

  def has(self, what: str) -> bool:
    return what in HITS

  def run(
    self,
    prepare: Callable[[], None] = lambda: None,
    workdir: str = "",
    **more: Any,
  ) -> Ended:
    """Both, undisturbed, as if they were one."""
    del workdir, more
    ended = self.both(None, prepare)
    worst = max(ended, key=lambda x: x.code != 0)
    return worst._replace(said="".join(x.said for x in ended))

  def both(
    self, shot: Shot | None, prepare: Callable[[], None] = lambda: None
  ) -> list[Ended]:
    """Both processes to their ends, one of which may be shot."""
    with socket.socket() as free:
      free.bind(("127.0.0.1", 0))
      address = f"127.0.0.1:{free.getsockname()[1]}"
    meeting = [f"--coordinator={address}", "--processes=2"]
    logs = [self.log.with_name(f"log-{i}") for i in range(2)]

    def prepared() -> None:
      jax.config.update("jax_compilation_cache_dir", str(self.programs))
      jax.distributed.initialize = functools.partial(
        jax.distributed.initialize, initialization_timeout=_JOIN
      )
      prepare()

    children = [
      commands.start(
        "run", [*self.words(), *meeting, f"--process_id={i}"], log, prepared
      )
      for i, log in enumerate(logs)
    ]
    return commands.ends(children, logs, shot, _ALONE)

  def work_of(self, what: str) -> list[float]:
    """Seconds that a stage takes each of them."""
    kept = self.log.with_name("counted.json")
    counted = storage.read_object(kept)
    if what not in counted:
      self.copy()
      self.forget(what)
      counted[what] = [ended.work for ended in self.both(None)]
      kept.write_text(json.dumps(counted))
    return counted[what]


def killed(room: Room, what: str, rng: np.random.Generator) -> Outcome:
  """One of them is killed after a random time of a stage's work."""
  stage, victim = HITS[what]
  after = float(rng.uniform(0, room.work_of(stage)[victim]))
  for _ in range(_TRIES):
    room.copy()
    room.forget(stage)
    ended = room.both(Shot(victim, after, signal.SIGKILL))
    if ended[victim].sent:
      break
    after /= 2  # it took less than when it was counted
  else:
    return Outcome(trials.MISSED, trials.last(ended[victim].said))
  room.happens()
  other = ended[1 - victim]
  if other.code is None:
    return Outcome(trials.HUNG, trials.last(other.said))
  if other.code not in _ENDS or (other.code and not _says_why(other)):
    return Outcome(trials.UNCLEAR, trials.last(other.said))
  found = trials.again(room)
  why = f"the other ended with {other.code}"
  return found._replace(why="; ".join(filter(None, (why, found.why))))


def _says_why(ended: Ended) -> bool:
  return any(words in ended.said for words in _SAID)
