"""Which faults there are, what is hit, and what a trial does.

Trial i of a seed is the same wherever it is run: the kind of fault goes by i,
what it hits goes round for each kind, and all else is drawn from both.
"""

import errno
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from prod_jax import storage
from prod_jax.retrieval import pieces
from tests.chaos import commands, damage, files, judge, material
from tests.chaos.commands import Ended

IDENTICAL, REFUSED = "identical", "refused"
DIFFERENT, CRASHED, HUNG = "silent difference", "traceback", "hang"
UNCLEAR, MISSED = "a line that is not of it", "no fault"
# Done, refused, stopped and interrupted; below 0 is the signal itself.
_ENDS = (0, 2, 75, 130)
_TRIES = 8  # until a kill has left a file
_NOBODY = 65534  # root may write into any folder
# Besides the stages: what is made before them, and what is said of all.
TOKENS, DATA, COMPILED, BOOKS = "token stores", "set", "programs", "books"
EXPORT = "export"
_MADE = (TOKENS, DATA, COMPILED, BOOKS, EXPORT)
_BESIDE = {TOKENS: "tokens", DATA: "data", COMPILED: "compiled"}
_READERS = ("encode", "provided", "mine", "score", "evaluate")


class Outcome(NamedTuple):
  """What came of a trial.

  Attributes:
    found: one of the words above.
    why: what was different, or said.
  """

  found: str
  why: str


class Room:
  """A reference, and a copy of it in which a trial goes on.

  Args:
    folder: of both, and of what they read.
    part: of the curriculum; "" is the whole.
  """

  def __init__(self, folder: pathlib.Path, part: str = ""):
    self.reference, self.trial = folder / "reference", folder / "trial"
    self.export, self.log = folder / "reference-export", folder / "log"
    self._mark = folder / "happened"
    self._material = folder / "material"
    # Compiled once for all trials.
    self.programs = pathlib.Path(
      os.environ.get("JAX_COMPILATION_CACHE_DIR", folder.parent / "programs")
    )
    own = pathlib.Path(__file__).with_name("curriculum.py")
    self._config = f"--config={own}:{self._material}{part}"

  def run(
    self,
    prepare: Callable[[], None] = lambda: None,
    workdir: str = "",
    **more: Any,
  ) -> Ended:
    """The command in the copy, or elsewhere, with the programs it has."""
    words = self.words(workdir)
    own = self.trial / _BESIDE[COMPILED]
    kept = own if own.exists() else self.programs

    def prepared() -> None:
      jax.config.update("jax_compilation_cache_dir", str(kept))
      prepare()

    return commands.run("run", words, self.log, prepared, **more)

  def words(self, workdir: str = "") -> list[str]:
    """Arguments of the run in the copy, or elsewhere."""
    return [self._config, f"--workdir={workdir or self.trial}"]

  def export_of(self, prepare: Callable[[], None] = lambda: None) -> Ended:
    """An export of the student beside the copy."""
    to = self.trial.with_name("trial-export")
    words = [f"--workdir={self.trial}", "--stage=train", f"--to={to}"]
    return commands.run("export", [*words, "--overwrite"], self.log, prepare)

  def make(self) -> None:
    """Runs the reference, and exports from it, undisturbed."""
    shutil.rmtree(self._material, ignore_errors=True)
    material.write(self._material)
    shutil.rmtree(self.trial, ignore_errors=True)
    for ended in (self.run(), self.export_of()):
      if ended.code != 0:
        raise RuntimeError(
          f"undisturbed, it ends with {ended.code}: {self.log}"
        )
    self.trial.with_name("trial-export").rename(self.export)
    self.trial.rename(self.reference)

  def copy(self) -> None:
    """A fresh copy of the reference."""
    for name in ("trial", "trial-export"):
      shutil.rmtree(self.trial.with_name(name), ignore_errors=True)
    shutil.copytree(self.reference, self.trial)
    self._mark.unlink(missing_ok=True)

  def happens(self) -> None:
    """Leaves a mark that the fault of this trial has come about.

    In the fork too, which may end right behind it and whose `open` may fail.
    """
    os.close(os.open(self._mark, os.O_WRONLY | os.O_CREAT, 0o666))

  @property
  def happened(self) -> bool:
    """Whether a fault has come about since the copy was made."""
    return self._mark.exists()

  def folder(self, stage: str) -> pathlib.Path:
    """Of a stage, in the copy."""
    (found,) = self.reference.glob(f"[0-9][0-9]-{stage}")
    return self.trial / found.name

  def stages(self) -> list[str]:
    """The stages of the reference, in order."""
    folders = sorted(self.reference.glob("[0-9][0-9]-*"))
    return [folder.name[3:] for folder in folders]

  def has(self, what: str) -> bool:
    """Whether there is in it what a fault is to hit."""
    return what in (*self.stages(), *_MADE)

  def places(self, what: str) -> list[pathlib.Path]:
    """Where the work on something leaves its files."""
    if what == EXPORT:
      return [
        self.trial.with_name(f"trial-export{end}") for end in ("", ".part")
      ]
    if what == BOOKS:
      names = (storage.CURRICULUM, storage.RESULTS, "report.html")
      return [self.trial / f"{n}{end}" for n in names for end in ("", ".part")]
    if what in _BESIDE:
      return [self.trial / _BESIDE[what]]
    return [self.folder(what)]

  def forget(self, what: str) -> None:
    """Deletes it in the copy, so that it is made again."""
    for place in self.places(what):
      shutil.rmtree(place, ignore_errors=True)
    if what in _BESIDE:
      shutil.rmtree(self.folder("encode"))


def interrupted(
  room: Room, what: str, rng: np.random.Generator, act: files.Act
) -> Ended:
  """Something happens at an operation of the work on `what`.

  How many operations there are is counted first, by a run that is undisturbed.
  """
  count, _ = _counted(room, what)
  at, behind = int(rng.integers(count)), bool(rng.integers(2))
  while True:
    room.copy()
    places = room.places(what)
    room.forget(what)
    fault = files.Fault(places, at, act, behind, room.happens)
    ended = _go(room, what, functools.partial(_disturb, fault))
    if room.happened or not at:
      return ended
    at //= 2  # there were fewer operations than when they were counted


def _go(room: Room, what: str, prepare: Callable[[], None]) -> Ended:
  return room.export_of(prepare) if what == EXPORT else room.run(prepare)


def _disturb(fault: files.Fault) -> None:
  # Pieces of blocks after each batch, as after each minute of a long one.
  pieces.SECONDS = pieces._LOOK = 0
  fault.install()


def _counted(room: Room, what: str) -> tuple[int, float]:
  """Operations on files, and seconds, that the work on something takes."""
  kept = room.log.with_name("counted.json")
  counted = storage.read_object(kept)
  if what not in counted:
    room.copy()
    places = room.places(what)
    room.forget(what)
    told = room.log.with_name("counted")

    def prepare() -> None:
      fault = files.Fault(places, -1, files.killing(0), False, room.happens)
      _disturb(fault)
      ended = os._exit

      def exit_(code: int) -> None:
        number = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(number, str(fault.seen).encode())
        ended(code)

      os._exit = exit_

    ended = _go(room, what, prepare)
    counted[what] = [max(int(told.read_text()), 1), ended.work]
    kept.write_text(json.dumps(counted))
  count, work = counted[what]
  return count, work


def again(
  room: Room,
  first: Ended | None = None,
  what: str = "",
  *,
  says: str = "",
  hit: pathlib.Path | None = None,
  command: Callable[[], Ended] | None = None,
) -> Outcome:
  """Gives the command again, and judges what is there then.

  Args:
    room: of the trial.
    first: how the disturbed run ended, where it was to say why.
    what: "export" where that is what was disturbed.
    says: a piece of the line of a disturbed run that is refused; without one
      it may not be.
    hit: the file that is damaged; without one nothing may be refused.
    command: what is given, where it is not the run in the copy.
  """
  said = first.said if first else ""
  if not room.happened:
    return Outcome(MISSED, last(said))
  if first and (wrong := _wrongly_ended(first, says)):
    return Outcome(wrong, last(said))
  ended = command() if command else _go(room, what, lambda: None)
  if ended.code:
    line = last(ended.said)
    named = bool(hit) and ended.code == 2 and _names(line, room, hit)
    return Outcome(
      _wrongly_ended(ended) or (REFUSED if named else UNCLEAR), line
    )
  if wrong := _wrongly_ended(ended):
    return Outcome(wrong, last(ended.said))
  differ = judge.differences(room.reference, room.trial)
  if what == EXPORT:
    differ += judge.exported(room.export, room.trial.with_name("trial-export"))
  if differ:
    return Outcome(DIFFERENT, ", ".join(differ[:8]))
  return Outcome(IDENTICAL, last(said) if first else "")


def _wrongly_ended(ended: Ended, says: str | None = None) -> str:
  """What is wrong with the end of a command, "" where nothing is.

  Args:
    ended: how it did.
    says: what its line has to have in it where it is refused; "" where it is
      not to be, None where that is not looked at.
  """
  if ended.code is None:
    return HUNG
  if "Traceback" in ended.said:
    return CRASHED
  if ended.code == 2 and says is not None:
    return "" if says and says in last(ended.said) else UNCLEAR
  return "" if ended.code < 0 or ended.code in _ENDS else UNCLEAR


def _names(line: str, room: Room, path: pathlib.Path) -> bool:
  """Whether a line names a file, or a folder of a stage's that it is in."""
  within = path.relative_to(room.trial)
  folders = [str(folder) for folder in within.parents if folder.parts[1:]]
  return any(name in line for name in (path.name, *folders))


def last(said: str) -> str:
  """The last line that is one."""
  lines = [line for line in said.splitlines() if line.strip()]
  return lines[-1][:400] if lines else ""


def kill_at_operation(number: int) -> Callable:
  """A signal to itself at an operation on files."""

  def trial(room: Room, what: str, rng: np.random.Generator) -> Outcome:
    first = interrupted(room, what, rng, files.killing(number))
    if first.code is None:
      return Outcome(HUNG, last(first.said))
    return again(room, first if number != signal.SIGKILL else None, what)

  return trial


def kill_at_any_time(number: int) -> Callable:
  """A signal from outside after a random time."""

  def trial(room: Room, what: str, rng: np.random.Generator) -> Outcome:
    _, work = _counted(room, what)
    room.copy()
    room.forget(what)
    after = float(rng.uniform(0, work))
    while not (first := room.run(after=after, number=number)).sent:
      after /= 2  # it took less than when it was counted
      room.copy()
      room.forget(what)
    room.happens()
    quiet = number == signal.SIGKILL
    return again(room, None if quiet and first.code is not None else first)

  return trial


def fail_at_operation(code: int) -> Callable:
  """An operation on files fails."""

  def trial(room: Room, what: str, rng: np.random.Generator) -> Outcome:
    first = interrupted(room, what, rng, files.failing(code))
    return again(room, first, what, says=os.strerror(code))

  return trial


def full_disk(room: Room, what: str, rng: np.random.Generator) -> Outcome:
  """A disk of its own with little room, which is then made larger."""
  room.copy()
  room.forget(what)
  kept = room.trial.with_name("kept")
  shutil.rmtree(kept, ignore_errors=True)
  room.trial.rename(kept)
  room.trial.mkdir()
  there = [path for path in kept.rglob("*") if path.is_file()]
  used = sum(-(-path.stat().st_size // 4096) for path in there)
  size = 4096 * (used + int(rng.integers(1, 16)))
  _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(room.trial))
  try:
    shutil.copytree(kept, room.trial, dirs_exist_ok=True)
    first = room.run()
    if first.code:  # else there was room for all of it
      room.happens()
    _mount("-o", f"remount,size={size + (64 << 20)}", str(room.trial))
    return again(room, first, says=os.strerror(errno.ENOSPC))
  finally:
    subprocess.run(["umount", room.trial], check=True)
    shutil.rmtree(kept)


def _mount(*words: str) -> None:
  subprocess.run(["mount", *words], check=True)


def read_only(room: Room, what: str, rng: np.random.Generator) -> Outcome:
  """The folder, or that of the stage, may not be written; then it may."""
  room.copy()
  room.forget(what)
  closed = room.trial
  for folder in [closed, *closed.rglob("*")]:
    os.chmod(folder, 0o777 if folder.is_dir() else 0o666)
  os.chmod(closed, 0o555)

  def prepare() -> None:
    if os.geteuid() == 0:
      os.setgid(_NOBODY)
      os.setuid(_NOBODY)

  first = room.run(prepare)
  room.happens()
  os.chmod(closed, 0o755)
  if not first.is_clear and first.code:
    return Outcome(CRASHED, last(first.said))
  return again(room, first, says=os.strerror(errno.EACCES))


def damaged(how: damage.Damage) -> Callable:
  """Something happens to a file of a finished run, and others read it."""

  def trial(room: Room, what: str, rng: np.random.Generator) -> Outcome:
    room.copy()
    if what == COMPILED:
      shutil.copytree(room.programs, room.trial / _BESIDE[COMPILED])
    path = _some_file(room.places(what), rng)
    how(path, rng)
    room.happens()
    reader = _reader(room, what, rng)
    if reader:
      shutil.rmtree(room.folder(reader))
    found = again(room, hit=path)
    return found._replace(why=f"{path.relative_to(room.trial)}: {found.why}")

  return trial


def _reader(room: Room, what: str, rng: np.random.Generator) -> str:
  """A stage behind it that may read it, or "" for none."""
  stages = room.stages()
  if what in _BESIDE:
    behind = [name for name in _READERS if name in stages]
  elif what in stages:
    behind = ["", *stages[stages.index(what) + 1 :][:3]]
  else:
    behind = [""]
  return str(rng.choice(behind)) if behind else ""


def damaged_unfinished(how: damage.Damage) -> Callable:
  """Something happens to a file of a stage that was killed."""

  def trial(room: Room, what: str, rng: np.random.Generator) -> Outcome:
    for _ in range(_TRIES):
      interrupted(room, what, rng, files.killing(signal.SIGKILL))
      places = [place for place in room.places(what) if place.exists()]
      if room.happened and (path := _some_file(places, rng)):
        break
    else:
      return Outcome(MISSED, "")
    how(path, rng)
    found = again(room, hit=path)
    return found._replace(why=f"{path.relative_to(room.trial)}: {found.why}")

  return trial


def _some_file(
  places: list[pathlib.Path], rng: np.random.Generator
) -> pathlib.Path | None:
  """A file with something in it; lines that nothing reads do not count."""
  there = [
    path
    for place in places
    for path in ([place] if place.is_file() else sorted(place.rglob("*")))
    if path.is_file() and path.stat().st_size and path.name != "metrics.jsonl"
  ]
  return there[int(rng.integers(len(there)))] if there else None
