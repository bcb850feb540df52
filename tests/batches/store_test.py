"""Stores of token ids: content, keys, and what is left by a failed build."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from prod_jax.batches.store import TokenStore, build_store

ROWS = [[5, 6], [], [70_000, 1, 2], [9]]


def encode(rows):
  return [np.array(row, np.int32) for row in rows]


def refuse(rows):
  raise RuntimeError("encoded again")


def build(folder, rows=ROWS, encode=encode, vocab_size=80_000, **key):
  return build_store(
    folder / "part",
    iter(rows),
    encode,
    rows=len(rows),
    vocab_size=vocab_size,
    key={"source": "s", **key},
  )


def same(store: TokenStore, rows: list) -> bool:
  return [store[i].tolist() for i in range(len(store))] == rows


def test_rows_come_back(tmp_path):
  store = build(tmp_path)
  assert same(store, ROWS)
  assert store[np.int64(0)].dtype == np.int32
  np.testing.assert_array_equal(store.lengths(), [2, 0, 3, 1])
  for row in (-1, 4):
    with pytest.raises(IndexError, match="store of 4 rows"):
      store[row]


def test_what_was_read_is_given_back_with_its_map(tmp_path):
  store = build(tmp_path)
  again, opened = store.anew(), len(os.listdir("/proc/self/fd"))
  assert same(again, ROWS)
  rows = np.arange(len(ROWS))
  assert not np.shares_memory(again.slices(rows).ids, store.slices(rows).ids)
  for _ in range(20):
    again = again.anew()
  assert len(os.listdir("/proc/self/fd")) == opened
  held = TokenStore(np.zeros(2, np.int32), np.array([0, 2]))
  assert held.anew() is held


def test_small_vocabulary_takes_two_bytes_an_id(tmp_path):
  rows = [[5, 65_535], [7]]
  store = build(tmp_path, rows, vocab_size=65_536)
  assert same(store, rows)
  assert store[0].dtype == np.int32
  assert next(tmp_path.glob("part-*/ids.bin")).stat().st_size == 6


def test_many_chunks(tmp_path, monkeypatch):
  monkeypatch.setattr("prod_jax.batches.store._CHUNK", 3)
  rows = [[i] * (i % 4) for i in range(10)]
  assert same(build(tmp_path, rows), rows)


def test_same_key_is_opened_and_another_is_built(tmp_path):
  build(tmp_path)
  assert same(build(tmp_path, encode=refuse), ROWS)
  with pytest.raises(RuntimeError, match="encoded again"):
    build(tmp_path, encode=refuse, max_tokens=7)
  with pytest.raises(RuntimeError, match="encoded again"):
    build(tmp_path, ROWS[:2], encode=refuse)


@pytest.mark.parametrize("name", ["ids.bin", "offsets.bin", "manifest.json"])
def test_incomplete_store_is_built_again(tmp_path, name):
  build(tmp_path)
  path = next(tmp_path.glob(f"part-*/{name}"))
  if name == "manifest.json":
    path.unlink()
  else:
    path.write_bytes(path.read_bytes()[:-2])
  assert same(build(tmp_path), ROWS)
  assert same(build(tmp_path, encode=refuse), ROWS)


@pytest.mark.parametrize("name", ["ids.bin", "offsets.bin", "manifest.json"])
def test_a_changed_store_is_built_again(tmp_path, name, caplog):
  build(tmp_path)
  path = next(tmp_path.glob(f"part-*/{name}"))
  content = bytearray(path.read_bytes())
  content[0] ^= 1
  path.write_bytes(content)
  assert same(build(tmp_path), ROWS)
  assert f"{path} has changed: it is made again" in caplog.text
  assert same(build(tmp_path, encode=refuse), ROWS)


def test_failed_build_leaves_nothing(tmp_path):
  with pytest.raises(RuntimeError):
    build(tmp_path, encode=refuse)
  assert list(tmp_path.iterdir()) == []


def test_killed_build_does_not_pass_for_a_store(tmp_path):
  program = f"""
import os, pathlib, signal
from prod_jax.batches import store
def encode(rows): os.kill(os.getpid(), signal.SIGKILL)
store.build_store(pathlib.Path({str(tmp_path)!r}) / "part", iter([[1]]), encode,
                  rows=4, vocab_size=80_000, key={{"source": "s"}})
"""
  assert subprocess.run([sys.executable, "-c", program]).returncode == -9
  assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
  assert same(build(tmp_path), ROWS)


def test_pickle_carries_the_path_only(tmp_path):
  store = build(tmp_path, [[1] * 100_000])
  pickled = pickle.dumps(store)
  assert len(pickled) < 1_000
  assert same(pickle.loads(pickled), [[1] * 100_000])
