"""How commands end: codes, pipes that nobody reads, and any locale."""

import argparse
import errno
import json
import logging
import os
import signal
import subprocess
import sys

import pytest

from prod_jax import config_file, main, storage, strict
from prod_jax.cli import arguments
from tests.commands import REPO

ODD = "schön 検索 🔎 \udcff"


@pytest.fixture
def folder(tmp_path):
  """A working folder, of which `status` tells without JAX."""
  row = {"name": "warm", "kind": "train", "dir": "00-warm", "seconds": 0}
  row |= {"status": "pending", "inputs": {}}
  record = {"config": {}, "dataset": ODD, "stages": [row]}
  (tmp_path / storage.CURRICULUM).write_text(json.dumps(record))
  return tmp_path


def start(*words, **more):
  command = [sys.executable, "-m", "prod_jax.cli.status", *map(str, words)]
  return subprocess.Popen(
    command, cwd=REPO, stderr=subprocess.PIPE, text=True, **more
  )


def test_a_pipe_that_nobody_reads_ends_it_without_a_word(folder):
  reads, writes = os.pipe()
  os.close(reads)
  for words in ([folder], [folder, "--json"], ["--help"]):
    process = start(*words, stdout=writes)
    assert process.communicate()[1] == ""
    # argparse says its help into the void and ends well.
    ended = {arguments.UNREAD, 0} if "--help" in words else {arguments.UNREAD}
    assert process.returncode in ended
  os.close(writes)


def test_another_pipe_is_a_fault(capfd):
  with pytest.raises(BrokenPipeError), arguments.ending():
    raise BrokenPipeError
  assert arguments.code_of(BrokenPipeError()) == 1


@pytest.mark.parametrize(
  ("error", "shown"),
  [
    (OSError(errno.ENOSPC, "No space left on device", "a"), False),
    (ValueError("RESOURCE_EXHAUSTED: No space left on device"), False),
    (ValueError("another"), True),
  ],
)
def test_a_library_shows_no_traceback_of_what_a_disk_refuses(error, shown):
  """Orbax does, and raises the error too, which ends in a line."""
  of = (type(error), error, None)
  record = logging.LogRecord("orbax", 40, "b", 1, "Failed", (), of)
  said = arguments.LogFormat().format(record)
  assert "Failed" in said
  assert ("ValueError: another" in said) == shown
  # A thread's error may be told of nowhere else.
  assert shown or said.splitlines()[1:] == [storage.trouble(error)]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_locale_can_say_it(folder, encoding):
  env = {**os.environ, "PYTHONIOENCODING": encoding}
  said = []
  for words in ([folder], [folder, "--json"], ["--help"]):
    process = start(*words, stdout=subprocess.PIPE, env=env, encoding=encoding)
    said.append(process.communicate()[0])
    assert process.returncode == 0
  assert ("検索" in said[0]) == (encoding == "utf-8")
  assert json.loads(said[1])["dataset"] == ODD


@pytest.mark.parametrize(
  ("error", "code", "line"),
  [
    (KeyboardInterrupt(), 130, "interrupted"),
    (strict.ConfigError("a key"), 2, "a key"),
    (PermissionError(13, "Permission denied", "x"), 2, "or name another place"),
  ],
)
def test_what_is_no_fault_of_ours_is_a_line(error, code, line, caplog):
  with pytest.raises(SystemExit) as ended, arguments.ending():
    raise error
  assert ended.value.code == code
  assert caplog.records[0].message.endswith(line)


def test_ctrl_c_is_a_line(tmp_path):
  """Of a command that waits, here for somebody to write into a pipe."""
  os.mkfifo(tmp_path / storage.CURRICULUM)
  # A shell lets its background jobs ignore it, and what they start.
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  process = start(tmp_path, stdout=subprocess.PIPE)
  signal.signal(signal.SIGINT, before)
  with (tmp_path / storage.CURRICULUM).open("w"):
    process.send_signal(signal.SIGINT)  # it has opened the pipe by now
  _, said = process.communicate()  # and finds its end, if not the signal
  assert process.returncode == arguments.INTERRUPTED
  (line,) = said.splitlines()
  assert line.endswith(" interrupted")


@pytest.mark.parametrize(
  ("error", "code"),
  [
    (KeyboardInterrupt(), arguments.INTERRUPTED),
    (PermissionError(13, "Permission denied", "x"), 2),
    (BrokenPipeError(), 1),
    (ValueError(), 1),
  ],
)
def test_a_run_ends_so_too(monkeypatch, caplog, error, code):
  def go(run_config, args):
    raise error

  monkeypatch.setattr(main, "_go", go)
  config = config_file.load(f"{REPO}/configs/quickstart.py:runlocal")
  with pytest.raises(SystemExit) as ended:
    main.main(config, argparse.Namespace())
  assert ended.value.code == code
  assert ("Traceback" in caplog.text) == (code == 1)
