"""Progress: lines where there is no terminal, a bar where there is one."""

import io
import logging as stdlib_logging
import sys

import pytest
from absl import logging

from prod_jax import progress


class Terminal(io.StringIO):
  def isatty(self):
    return True


@pytest.fixture
def lines(monkeypatch):
  """What is logged."""
  said = []
  monkeypatch.setattr(
    logging, "info", lambda text, *values: said.append(text % values)
  )
  return said


@pytest.fixture
def clock(monkeypatch):
  """Seconds that pass when a test says so."""
  now = [1000.0]
  monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
  return now


def test_a_line_a_minute_the_first_sooner_and_the_last(
  lines, clock, monkeypatch
):
  monkeypatch.setattr(sys, "stderr", io.StringIO())
  taken = []
  for letter in progress.shown("abcdef", "reading", "letters", 6):
    taken.append(letter)
    clock[0] = 1000.0 + (4, 5, 64, 65, 125, 126)[len(taken) - 1]
  assert taken == [*"abcdef"]
  assert lines == [
    "reading: 2 of 6 letters, 1/s, 4 s left",
    "reading: 4 of 6 letters, 0.049/s, 41 s left",
    "reading: 5 of 6 letters, 0.033/s, 30 s left",
    "reading: 6 of 6 letters, 0.041/s",
  ]
  # Another work has a minute of its own, and nobody knows its end.
  for _ in progress.shown("abc", "counting", "letters"):
    clock[0] += 3
  assert lines[4:] == ["counting: 2 letters, 0.33/s"]
  assert sys.stderr.getvalue() == ""


def test_a_terminal_gets_a_bar_and_no_line(lines, monkeypatch):
  monkeypatch.setattr(sys, "stderr", Terminal())
  assert list(progress.shown([1, 2], "reading", "rows", 2)) == [1, 2]
  assert "reading: 100%" in sys.stderr.getvalue()
  assert "2/2" in sys.stderr.getvalue()
  assert lines == []


def test_a_log_line_is_above_the_bar(monkeypatch):
  terminal = Terminal()
  monkeypatch.setattr(sys, "stderr", terminal)
  record = stdlib_logging.makeLogRecord({"msg": "a line", "levelno": 20})
  with progress.Meter("reading", 2, "rows"):
    progress.Lines().emit(record)
    # As a terminal has them: what comes behind "\r" is over what was there.
    screen = [line.split("\r")[-1] for line in terminal.getvalue().split("\n")]
    assert screen[0] == "a line" and screen[1].startswith("reading:   0%")


def test_a_log_line_has_nothing_that_a_terminal_would_obey(monkeypatch):
  monkeypatch.setattr(sys, "stderr", Terminal())
  handler = progress.Lines()
  record = stdlib_logging.makeLogRecord({"msg": "a\x1b[2J\x9b\n\tb"})
  handler.emit(record)
  assert sys.stderr.getvalue() == "a [2J \n\tb\n"


def test_a_quiet_meter_says_it_in_lines(lines, clock, monkeypatch):
  monkeypatch.setattr(sys, "stderr", Terminal())
  with progress.Meter("making", 9, "x", quiet=True) as meter:
    for second in (0, 1, 2):
      clock[0] = 1000.0 + second
      meter.add(3, "so far so good")
      meter.add(0)
  assert lines == ["making: 9 of 9 x, 3/s, so far so good"]
  assert sys.stderr.getvalue() == ""


def test_rate_and_time_left_leave_out_what_was_done_before(lines, clock):
  """The first part of a work compiles, too."""
  with progress.Meter("training", 1_000, "steps", initial=100) as meter:
    assert meter.rate is meter.seconds_left is None
    for _ in range(11):
      clock[0] += 60 if meter.done == 100 else 10
      meter.add(20)
    assert meter.rate == 2
    assert meter.seconds_left == 340
  assert lines[0] == "training: 120 of 1000 steps"
  assert lines[1] == "training: 240 of 1000 steps, 2/s, 6.3 min left"


def test_a_short_work_that_is_not_worth_a_line_has_none(lines, clock):
  for seconds, said in ((59, 0), (63, 1)):
    for _ in progress.shown("abc", "searching", "x", 3, only_long=True):
      clock[0] += seconds / 3
    assert len(lines) == said, lines


@pytest.mark.parametrize(
  ("seconds", "text"),
  [(3.4, "3 s"), (89, "89 s"), (90, "1.5 min"), (5_401, "1.5 h")],
)
def test_durations(seconds, text):
  assert progress.duration(seconds) == text


def test_bytes_have_a_size_that_can_be_read(lines, clock):
  with progress.Meter("a file", 3 << 30, "B", unit_scale=True) as meter:
    clock[0] += 60
    meter.add(1_500_000)
  assert lines == ["a file: 1.50M of 3.22G B"]
