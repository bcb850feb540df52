"""Progress: lines where there is no terminal, a bar where there is one."""

import io
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


def test_a_line_a_minute_and_the_first_at_once(lines, clock, monkeypatch):
  monkeypatch.setattr(sys, "stderr", io.StringIO())
  items = progress.shown("abcd", "reading", "letters", 4)
  for second, letter in zip((0, 59, 60, 61), items, strict=True):
    assert letter == "abcd"[(0, 59, 60, 61).index(second)]
    clock[0] = 1000.0 + second
  assert lines == ["reading: 1 of 4 letters", "reading: 3 of 4 letters"]
  # Another work has a minute of its own, and nobody knows its end.
  assert list(progress.shown("ab", "counting", "letters")) == ["a", "b"]
  assert lines[2:] == ["counting: 1 letters"]
  assert sys.stderr.getvalue() == ""


def test_a_terminal_gets_a_bar_and_no_line(lines, monkeypatch):
  monkeypatch.setattr(sys, "stderr", Terminal())
  assert list(progress.shown([1, 2], "reading", "rows", 2)) == [1, 2]
  assert "reading: 100%" in sys.stderr.getvalue()
  assert "2/2" in sys.stderr.getvalue()
  assert lines == []


def test_a_quiet_meter_says_every_step_it_is_asked_for(lines, monkeypatch):
  monkeypatch.setattr(sys, "stderr", Terminal())
  with progress.Meter("making", 9, seconds=0, quiet=True, unit=" x") as meter:
    for done in (3, 6, 9):
      meter.add(3, "%d of %d", done, 9)
  assert lines == ["3 of 9", "6 of 9", "9 of 9"]
  assert sys.stderr.getvalue() == ""
