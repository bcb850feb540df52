"""Pieces: a block that was killed half way ends with the same bits."""

import jax
import numpy as np
import pytest

from prod_jax.processes import Preempted, Processes
from prod_jax.retrieval import blocks, forward, pieces
from tests import buckets
from tests.retrieval import forward_test


class Killed(Exception):
  """Stands for the end of the process."""


@pytest.fixture
def clock(monkeypatch):
  """Seconds that pass when a test says so."""
  now = [1000.0]
  monkeypatch.setattr(pieces.time, "monotonic", lambda: now[0])
  return now


def test_a_killed_block_goes_on_behind_its_last_piece(tmp_path, clock):
  count, made = 301, []

  def run(folder, seconds=0.0, kill_at=None):
    """With batches that take so many seconds each."""
    batches = []

    @jax.jit
    def noise(weight, texts):
      # What stands in a batch counts for all of it, as rounding may.
      return weight * (texts.place[0] + texts.ids.sum())[None]

    def batch(weight, texts):
      if len(batches) == kill_at:
        raise Killed
      batches.append(texts)
      clock[0] += seconds
      return noise(weight, texts)

    def work(start, stop, kept):
      del start, stop
      texts = forward_test.numbered(count)
      model = forward_test.frozen(512)
      longest = forward_test.LONGEST
      return {"x": forward.over_texts(model, batch, texts, longest, watch=kept)}

    try:
      (path,) = blocks.compute(
        folder,
        count,
        count,
        work,
        processes=Processes(tmp_path),
        name="toy",
        unit="texts",
      )
    finally:
      made.append(len(batches))
    return blocks.read(path, "x")

  whole = run(tmp_path / "whole")
  every = made.pop()
  assert every > 8
  with pytest.raises(Killed):
    # Some batches are in the hands of other threads when one fails.
    run(tmp_path / "killed", seconds=pieces.SECONDS / 2, kill_at=8)
  (folder,) = (tmp_path / "killed").iterdir()
  saved = len(list(folder.glob("*.npz")))
  assert 1 <= saved <= 4
  found = run(tmp_path / "killed")
  np.testing.assert_array_equal(found, whole)
  assert every - made[-1] in (2 * saved, 2 * saved - 1)
  assert [path.suffix for path in (tmp_path / "killed").iterdir()] == [""]


def test_pieces_of_a_whole_block_are_cleared_away(tmp_path):
  """A kill came between the two."""
  (tmp_path / "000000000-000000004").mkdir()
  left = tmp_path / "000000000-000000004.pieces"
  other = tmp_path / "000000004-000000008.pieces"
  left.mkdir()
  other.mkdir()

  def work(start, stop, kept):
    assert (start, stop) == (4, 8)
    assert other.exists() and not left.exists()
    return {"x": np.arange(4)}

  blocks.compute(
    tmp_path,
    8,
    4,
    work,
    processes=Processes(tmp_path),
    name="toy",
    unit="rows",
  )
  assert not other.exists()


@pytest.mark.parametrize("seconds", [pieces.SECONDS, 0])
def test_a_run_that_is_asked_to_stop_saves_between_two_batches(
  tmp_path, clock, monkeypatch, seconds
):
  """Also where all of it has just been saved."""
  monkeypatch.setattr(pieces, "SECONDS", seconds)
  processes = Processes(tmp_path)
  stop = [False]
  processes.stopping = lambda: stop[0]
  began = []

  def work(start, stop_row, kept):
    out = np.zeros(stop_row - start, np.float32)
    done = kept.begin(out)
    began.append(int(done.sum()))
    for row in np.flatnonzero(~done):
      out[row] = row
      clock[0] += 1
      stop[0] = row == 6 and len(began) == 1
      kept.made(np.array([row]))
    return {"x": out}

  def run():
    return blocks.compute(
      tmp_path, 10, 10, work, processes=processes, name="toy", unit="rows"
    )

  with pytest.raises(Preempted, match="stopped toy with 7 of 10 rows made"):
    run()
  stop[0] = False
  (path,) = run()
  assert began == [0, 7]
  np.testing.assert_array_equal(blocks.read(path, "x"), np.arange(10))


def test_two_works_of_a_block_keep_pieces_of_their_own(tmp_path, clock):
  kill = [True]
  begun = []

  def work(start, stop, kept):
    del start, stop
    both = []
    for number, half in enumerate(kept.split(2)):
      out = np.zeros(3, np.float32)
      begun.append(int(half.begin(out).sum()))
      if begun[-1] == 0:
        out[:] = number
        clock[0] += pieces.SECONDS
        half.made(np.arange(3))
      if number == 0 and kill:
        raise Killed
      both.append(out)
    return {"x": np.concatenate(both)}

  def run():
    return blocks.compute(
      tmp_path,
      8,
      8,
      work,
      processes=Processes(tmp_path),
      name="toy",
      unit="rows",
    )

  with pytest.raises(Killed):
    run()
  kill.clear()
  (path,) = run()
  assert begun == [0, 3, 0]
  np.testing.assert_array_equal(blocks.read(path, "x"), [0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize("damage", ["cut", "flipped", "other"])
def test_a_damaged_piece_is_made_again(tmp_path, clock, caplog, damage):
  meter = pieces.progress.Meter("toy", 6, "rows")

  def begun(out):
    kept = pieces.Pieces(
      tmp_path, len(out), pieces.Counter(meter), Processes(tmp_path)
    )
    return kept, kept.begin(out)

  out = np.arange(6, dtype=np.float32)
  kept, _ = begun(out)
  for row in range(3):
    clock[0] += pieces.SECONDS
    kept.made(np.array([row]))
  names = [f"00000{number}.npz" for number in range(4)]
  path = tmp_path / names[1]
  data = bytearray(path.read_bytes())
  data[data.rindex(np.float32(1).tobytes())] ^= 1
  if damage == "other":
    np.savez(path, texts=np.arange(2))
  else:
    path.write_bytes(data if damage == "flipped" else data[: len(data) // 2])
  again = np.zeros(6, np.float32)
  kept, done = begun(again)
  assert done.tolist() == [True, False, True, False, False, False]
  assert again[[0, 2]].tolist() == [0, 2]
  assert f"{names[1]} is damaged" in caplog.text
  # Nor does the next one replace a piece that is whole.
  clock[0] += pieces.SECONDS
  kept.made(np.array([1]))
  left = sorted(path.name for path in tmp_path.iterdir())
  assert left == [names[0], *names[2:]]


def test_pieces_in_a_bucket_outlive_their_machine(
  tmp_path, clock, monkeypatch, caplog
):
  bucket = buckets.empty("gs://bucket/run")
  began = []

  def run(machine, kill_at):
    """On one whose disk is empty."""
    monkeypatch.setenv("PROD_JAX_CACHE", str(tmp_path / machine))
    processes = Processes(bucket)

    def work(start, stop, kept):
      out = np.zeros(stop - start, np.float32)
      done = kept.begin(out)
      began.append(np.flatnonzero(done).tolist())
      for row in np.flatnonzero(~done):
        if row == kill_at:
          raise Killed
        out[row] = row
        clock[0] += pieces.SECONDS
        kept.made(np.array([row]))
      return {"x": out}

    (path,) = blocks.compute(
      processes.local_folder / "blocks",
      6,
      6,
      work,
      processes=processes,
      name="toy",
      unit="rows",
    )
    return blocks.read(path, "x")

  with pytest.raises(Killed):
    run("first", kill_at=3)
  left = bucket / "blocks" / "000000000-000000006.pieces"
  names = sorted(path.name for path in left.iterdir())
  assert names == [f"00000{number}.npz" for number in range(3)]
  # One of them was cut on its way.
  (left / names[1]).write_bytes((left / names[1]).read_bytes()[:50])
  with pytest.raises(Killed):
    run("second", kill_at=4)
  assert "000001.npz is damaged" in caplog.text
  assert not (left / names[1]).exists()
  found = run("third", kill_at=None)
  np.testing.assert_array_equal(found, np.arange(6))
  assert began == [[], [0, 2], [0, 1, 2, 3]]
  there = {path.name for path in (bucket / "blocks").iterdir()}
  assert there == {"000000000-000000006", "000000000-000000006.whole"}


def test_progress_is_by_batch_in_rows_of_the_block(tmp_path, monkeypatch):
  """Whole rows, of however many texts each is made."""
  shown = []
  monkeypatch.setattr(
    blocks.progress.Meter, "add", lambda self, done: _add(self, done, shown)
  )

  def work(start, stop, kept):
    out = np.zeros(5 * (stop - start), np.float32)
    kept.begin(out)
    for row in range(0, len(out), 2):
      kept.made(np.array([row, row + 1, row + 1]))
    return {"x": out}

  blocks.compute(
    tmp_path, 6, 4, work, processes=Processes(tmp_path), name="a", unit="rows"
  )
  assert shown == [0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 4, 5, 5, 6, 6]


def _add(meter, done, shown):
  meter.done += done
  shown.append(meter.done)
