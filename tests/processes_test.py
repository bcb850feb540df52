"""Two real processes over loopback: the same run as one, and ends of it."""

import json
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from prod_jax.batches.lists import Candidates, load_lists
from prod_jax.coordination import LOST
from prod_jax.models import hf
from prod_jax.processes import PREEMPTED
from tests.main_test import REPO, command, environment, write_folder

DEVICES = 8
# Blocks for both processes, and a mesh that uses every axis.
WHOLE = (
  "--config.mesh.fsdp=2",
  "--config.mesh.tensor=2",
  "--config.stages.encode_teacher_de.shard_rows=25",
  "--config.stages.mine_1.block_queries=8",
  # Adam turns gradients of rounding size into whole steps: make these small.
  "--config.stages.ce_1.learning_rate=1e-5",
  "--config.stages.score_1.block_queries=16",
  "--stages=student_warm,encode_student_warm,teacher_warm,encode_teacher_warm,"
  "mine_teacher,teacher_de,encode_teacher_de,evaluate_teacher_de,"
  "accept_student_warm,gate_de,mine_1,student_de,encode_student_de,"
  "accept_student_de,mine_2_wide,ce_1,gate_ce_1,mine_2,score_1,student_ce_1",
)
LONG = (
  "--config.stages.student_warm.steps=24",
  "--config.stages.student_warm.checkpoint_every=4",
  "--stages=student_warm",
)

# A run without stages: the first process is the last to come to its end.
ENDING = """
import os, pathlib, sys, threading
from prod_jax import coordination, storage
from prod_jax.processes import PREEMPTED, Preempted, run_of

workdir, ending, address, index = sys.argv[1:]
last_words = pathlib.Path(workdir) / "last_words"
coordination._BEAT_SECONDS = 0.0  # the thread is in JAX's client all the time
code = 0
try:
  with run_of(storage.open_path(workdir), address, 2, int(index)) as group:
    if group.first:
      while "1" not in coordination.under("gone"):
        pass
      last_words.touch()
    if ending == "preempted":
      raise Preempted("")
except Preempted:
  code = PREEMPTED
if not last_words.exists() or threading.active_count() > 1:
  sys.stderr.write(f"too early, or beside {threading.enumerate()}\\n")
  os._exit(1)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  """Arguments that name a small folder of text."""
  folder = write_folder(tmp_path_factory.mktemp("text") / "small")
  return ("--config.data.name=folder", f"--config.data.path={folder}")


def free_address():
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    return f"127.0.0.1:{free.getsockname()[1]}"


def start(workdir, count, *arguments, devices=DEVICES):
  """Starts the processes of a run over so many devices in all."""
  address = free_address()
  own = [
    [f"--coordinator={address}", f"--processes={count}", f"--process_id={i}"]
    for i in range(count)
  ]
  return [
    subprocess.Popen(
      command(workdir, *arguments, *(own[i] if count > 1 else ())),
      cwd=REPO,
      env={
        **environment(fast=True),
        "JAX_NUM_CPU_DEVICES": str(devices // count),
      },
      stdout=subprocess.DEVNULL,
      stderr=(workdir.parent / f"{workdir.name}-{i}.err").open("a"),
      text=True,
    )
    for i in range(count)
  ]


def said(workdir, process):
  return (workdir.parent / f"{workdir.name}-{process}.err").read_text()


def end(workdir, running, *codes):
  """Waits for the processes, whose exit codes are these."""
  found = tuple(process.wait(timeout=240) for process in running)
  assert found == codes, said(workdir, 0)[-3000:] + said(workdir, 1)[-3000:]


def when(workdir, process, line):
  """Returns once a process has written a line."""
  deadline = time.monotonic() + 240
  while not re.search(line, said(workdir, process)):
    assert time.monotonic() < deadline, said(workdir, process)[-3000:]
    time.sleep(0.05)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data):
  """The working folders of one process with 8 devices, and of two with 4."""
  folder = tmp_path_factory.mktemp("runs")
  for count in (1, 2):
    running = start(folder / str(count), count, *WHOLE, *data)
    end(folder / str(count), running, *[0] * count)
  return folder / "1", folder / "2"


@pytest.fixture(scope="module")
def long(tmp_path_factory, data):
  """The parameters of a training that nothing disturbed."""
  workdir = tmp_path_factory.mktemp("long") / "whole"
  end(workdir, start(workdir, 1, *LONG, *data), 0)
  return trained(workdir, "00-student_warm")


def trained(workdir, stage):
  return hf.load_params(workdir / stage / "params.safetensors")


def assert_close(a, b):
  flat = [dict(_leaves(tree)) for tree in (a, b)]
  assert flat[0].keys() == flat[1].keys()
  for key, value in flat[0].items():
    # Adam's first steps divide gradients of rounding size by themselves.
    np.testing.assert_allclose(value, flat[1][key], atol=5e-5, err_msg=key)


def _leaves(tree, path=""):
  for key, value in tree.items():
    if isinstance(value, dict):
      yield from _leaves(value, f"{path}/{key}")
    else:
      yield f"{path}/{key}", value


@pytest.mark.long
def test_losses_and_parameters_are_those_of_one_process(runs):
  one, two = runs
  stages = [p.parent.name for p in sorted(one.glob("*/metrics.jsonl"))]
  assert len(stages) == 6
  for stage in stages:
    rows = [
      [json.loads(line) for line in (run / stage / "metrics.jsonl").open()]
      for run in runs
    ]
    for a, b in zip(*rows, strict=True):
      assert a["step"] == b["step"]
      np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-5)
    assert_close(trained(one, stage), trained(two, stage))


@pytest.mark.long
def test_lists_scores_and_figures_are_those_of_one_process(runs):
  for stage in ("mine_teacher", "mine_1", "mine_2"):
    one, two = (
      load_lists(Candidates, next(run.glob(f"*-{stage}")) / "candidates")
      for run in runs
    )
    np.testing.assert_array_equal(one.query, two.query)
    np.testing.assert_allclose(one.score, two.score, rtol=1e-5)
    for a, b in zip(one.ids, two.ids, strict=True):
      assert set(a.tolist()) == set(b.tolist())
    # Passages whose scores differ by rounding may have changed places.
    assert (one.ids == two.ids).mean() > 0.999
  scores = [np.load(next(run.glob("*score_1")) / "scores.npy") for run in runs]
  np.testing.assert_allclose(*scores, atol=1e-5)
  figures = [json.loads((run / "results.json").read_text()) for run in runs]
  assert figures[0]
  for a, b in zip(*figures, strict=True):
    if a["index"] == "exact":
      assert a == b


@pytest.mark.long
def test_a_stage_of_the_first_process_alone_needs_no_other(runs, data):
  """The others help it to what it reads, also where nothing else runs."""
  _, two = runs
  arguments = [*WHOLE[:-1], "--stages=evaluate_ce_1", *data]
  end(two, start(two, 2, *arguments), 0, 0)
  figures = json.loads((two / "results.json").read_text())
  assert "rerank" in {row["index"] for row in figures}


def test_a_wrong_argument_ends_both_with_its_code(tmp_path, data):
  work = tmp_path / "work"
  end(work, start(work, 2, "--stages=nope", *data), 2, 2)
  assert "there is no stage 'nope'" in said(work, 0)


@pytest.mark.long
def test_one_process_keeps_the_log_and_both_do_the_work(runs):
  _, two = runs
  first, second = said(two, 0), said(two, 1)
  assert "mine_1: starts" in first
  assert "starts" not in second
  part = re.search(r"encode_teacher_de: (\d+) of \1 passages", first)[1]
  assert 0 < int(part) < 120


@pytest.mark.long
def test_a_killed_peer_ends_the_other_and_the_run_goes_on(tmp_path, data, long):
  work = tmp_path / "work"
  running = start(work, 2, *LONG, *data)
  when(work, 0, "checkpoint at step 8")
  running[1].send_signal(signal.SIGKILL)
  began = time.monotonic()
  end(work, running, LOST, -signal.SIGKILL)
  assert time.monotonic() - began < 60
  assert re.search(r"process 1 of 2 \(.* pid \d+\) has not been", said(work, 0))
  # With another number of processes and devices, too.
  end(work, start(work, 1, *LONG, *data, devices=4), 0)
  assert re.search(
    r"goes on from its checkpoint at step (4|8|12)", said(work, 0)
  )
  assert_close(trained(work, "00-student_warm"), long)


@pytest.mark.long
def test_sigterm_to_one_process_saves_and_ends_both(tmp_path, data, long):
  """With parameters that lie in parts on both."""
  work = tmp_path / "work"
  running = start(work, 2, *LONG, *data, "--config.mesh.fsdp=8")
  when(work, 0, "checkpoint at step 4")
  running[1].send_signal(signal.SIGTERM)
  end(work, running, PREEMPTED, PREEMPTED)
  step = re.search(r"stopped student_warm at step (\d+) of 24", said(work, 0))
  end(work, start(work, 2, *LONG, *data, "--config.mesh.fsdp=8"), 0, 0)
  assert f"its checkpoint at step {step[1]}" in said(work, 0)
  assert_close(trained(work, "00-student_warm"), long)


@pytest.mark.parametrize("ending, code", [("done", 0), ("preempted", 75)])
def test_all_wait_for_the_last_and_leave_no_thread(tmp_path, ending, code):
  """Python's end would make one that is inside of JAX's client abort."""
  address = free_address()
  running = [
    subprocess.Popen(
      [sys.executable, "-c", ENDING, tmp_path, ending, address, str(index)],
      cwd=REPO,
      env=environment(),
      stderr=subprocess.PIPE,
      text=True,
    )
    for index in range(2)
  ]
  found = [(*p.communicate(timeout=240), p.returncode)[1:] for p in running]
  assert [end[1] for end in found] == [code, code], found
