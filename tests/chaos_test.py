"""Faults put into runs: the short form, the page, and what the judge sees."""

import contextlib
import json
import os
import signal

import numpy as np
import pytest

from tests import commands
from tests.chaos import commands as forks
from tests.chaos import files, judge, page, pair, trials
from tests.chaos.commands import Ended


def test_after_a_fault_the_results_are_the_same_or_a_line_says_why(tmp_path):
  """Eight of them; `make chaos` tries hundreds."""
  done = commands.run("tests.chaos", "--short", f"--folder={tmp_path}")
  assert done.returncode == 0, done.stdout + done.stderr[-3000:]
  assert len(done.stdout.splitlines()) == 8


def test_the_page_is_what_its_files_say():
  assert page.PAGE.read_text() == page.render()


def test_a_page_shows_tables_plots_and_what_was_not_run(tmp_path):
  said = {
    "title": "Faults",
    "command": "make chaos",
    "commit": "abc",
    "machine": "a machine",
    "python": "3.11",
    "columns": ["fault", "trials"],
    "rows": [["cut | torn", 3], ["all", 3]],
    "notes": ["Mended: one."],
    "plot": "faults.svg",
  }
  (tmp_path / "faults.json").write_text(json.dumps(said))
  text = page.render(tmp_path)
  assert "| fault | trials |\n|---|---:|\n| cut \\| torn | 3 |" in text
  assert "(../benchmarks/reliability/faults.svg)" in text
  assert "`make chaos`, commit abc, Python 3.11, a machine." in text
  assert "## Bad input\n\nNot run.\n" in text


class Room(trials.Room):
  """One in which the command ends as it is told to."""

  def __init__(self, folder, ended):
    super().__init__(folder)
    self.ended = ended
    for path in (self.reference, self.trial):
      path.mkdir()

  def run(self, *args, **more):
    return self.ended


def again(folder, code, said, *, happens=True, **more):
  """What is found where the command that is given again ends so."""
  room = Room(folder, Ended(code, f"a line\n{said}\n", 1.0))
  hit = room.trial / "03-train" / "checkpoints" / "2" / "state" / "x"
  if happens:
    room.happens()
  return trials.again(room, hit=hit if more.pop("hit", True) else None, **more)


@pytest.mark.parametrize(
  ("code", "said", "found"),
  [
    (0, "", trials.IDENTICAL),
    (2, "03-train/checkpoints/2/state/x has changed; do this", trials.REFUSED),
    (2, "w/03-train/checkpoints/2 can't be read; do this", trials.REFUSED),
    (2, "w/03-train: something is wrong", trials.UNCLEAR),
    (2, "curriculum.json cannot be read", trials.UNCLEAR),
    (75, "w/03-train/checkpoints/2: stopped", trials.UNCLEAR),
    (1, "w/03-train/checkpoints/2: oh", trials.UNCLEAR),
    (-11, "w/03-train/checkpoints/2: oh", trials.UNCLEAR),
    (2, "Traceback of 03-train/checkpoints/2", trials.CRASHED),
    (None, "", trials.HUNG),
  ],
)
def test_a_refusal_names_the_damaged_file(tmp_path, code, said, found):
  assert again(tmp_path, code, said).found == found


def test_nothing_is_refused_where_no_file_is_damaged(tmp_path):
  said = "03-train/checkpoints/2/state/x has changed"
  assert again(tmp_path, 2, said, hit=False).found == trials.UNCLEAR


def test_a_fault_that_did_not_happen_is_not_passed(tmp_path):
  found = again(tmp_path, 0, "", happens=False)
  assert found.found == trials.MISSED
  assert trials.MISSED not in (trials.IDENTICAL, trials.REFUSED)


@pytest.mark.parametrize(
  ("code", "says", "found"),
  [
    (0, "No space", trials.IDENTICAL),
    (2, "No space", trials.IDENTICAL),
    (2, "Permission", trials.UNCLEAR),
    (2, "", trials.UNCLEAR),
    (1, "No space", trials.UNCLEAR),
    (75, "", trials.IDENTICAL),
    (-9, "", trials.IDENTICAL),
  ],
)
def test_the_disturbed_run_says_what_was_done_to_it(
  tmp_path, code, says, found
):
  first = Ended(code, "x: No space left on device: make room\n", 1.0)
  assert again(tmp_path, 0, "", first=first, says=says).found == found


def test_a_fault_leaves_its_mark_and_a_copy_has_none(tmp_path):
  room = Room(tmp_path, Ended(0, "", 1.0))
  fault = files.Fault([tmp_path], 1, files.failing(5), True, room.happens)
  work = fault._around("open", str, str)
  assert work(f"{tmp_path}/a") and not room.happened
  with pytest.raises(OSError, match="Input/output"):
    work(f"{tmp_path}/b")
  assert room.happened
  room.copy()
  assert not room.happened


def test_an_export_with_more_or_less_in_it_is_another(tmp_path):
  for name, files_there in (("one", "ab"), ("two", "bc")):
    (tmp_path / name).mkdir()
    for file in files_there:
      (tmp_path / name / file).write_text("x")
  assert judge.exported(tmp_path / "one", tmp_path / "two") == ["a", "c"]


class Pair(pair.Room):
  """Two processes that end as they are told to."""

  def __init__(self, folder, *ended):
    super().__init__(folder)
    self.ended, self.shots = ended, []
    for path in (self.reference / "00-train", self.trial):
      path.mkdir(parents=True)

  def work_of(self, what):
    return [8.0, 8.0]

  def both(self, shot, prepare=None):
    self.shots.append(shot)
    (self.trial / "00-train").mkdir(exist_ok=True)
    return self.ended if shot else [Ended(0, "", 1.0)] * 2


KILLED = Ended(-9, "", 1.0, sent=True)


@pytest.mark.parametrize(
  ("code", "said", "found"),
  [
    (76, "process 0 is gone. Start all of them again: it", trials.IDENTICAL),
    (-6, "F1 this indicates that another task died; see", trials.IDENTICAL),
    (0, "", trials.IDENTICAL),
    (76, "oh", trials.UNCLEAR),
    (1, "Start all of them again", trials.UNCLEAR),
    (None, "Start all of them again", trials.HUNG),
  ],
)
def test_the_other_of_two_ends_and_says_why(tmp_path, code, said, found):
  other = Ended(code, said, 1.0)
  for victim, ended in ((1, (other, KILLED)), (0, (KILLED, other))):
    room = Pair(tmp_path / str(victim), *ended)
    what = f"train, process {victim} of 2"
    outcome = pair.killed(room, what, np.random.default_rng(0))
    assert outcome.found == found
    assert room.shots[0].victim == victim


def test_a_process_that_always_ends_before_its_shot_is_missed(tmp_path):
  room = Pair(tmp_path, Ended(0, "", 1.0), Ended(0, "done\n", 1.0))
  what = "train, process 1 of 2"
  found = pair.killed(room, what, np.random.default_rng(0))
  assert found == (trials.MISSED, "done")
  assert len(room.shots) == pair._TRIES


def test_one_fork_is_shot_and_another_has_some_seconds(tmp_path):
  logs = [tmp_path / str(i) for i in range(2)]
  children = []
  try:
    for log in logs:
      log.touch()
      if not (child := os.fork()):
        os.setsid()
        while True:
          pass
      children.append(child)
    shot = forks.Shot(1, 0.0, signal.SIGTERM)
    other, victim = forks.ends(children, logs, shot, seconds_alone=0.0)
  finally:
    for child in children:
      # One that has ended was waited for, and is no child any more.
      with contextlib.suppress(ChildProcessError):
        if not os.waitpid(child, os.WNOHANG)[0]:
          os.kill(child, signal.SIGKILL)
          os.waitpid(child, 0)
  assert (victim.code, victim.sent) == (-signal.SIGTERM, True)
  assert (other.code, other.sent) == (None, False)
