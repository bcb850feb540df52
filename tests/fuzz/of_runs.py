"""Readers of what a run has left, and of a command line."""

import functools
import hashlib
import io
import json
import pathlib
import shutil
import zipfile
from typing import Any

import numpy as np

from prod_jax import (
  artefacts,
  config_file,
  forecast,
  parts,
  presence,
  run_files,
  storage,
)
from prod_jax.batches import store
from prod_jax.export import finished
from prod_jax.report import record
from prod_jax.retrieval import encode
from prod_jax.sets import ids
from prod_jax.status import look, said
from tests.fuzz.reader import Reader

ROW = {
  "name": "warm",
  "kind": "train",
  "dir": "00-warm",
  "hash": "a1",
  "status": "done",
  "seconds": 2.5,
  "inputs": {},
  "summary": {"results": []},
  "model": "student",
}
CONFIG = {
  "seed": 1,
  "data": {"name": "pydocs"},
  "mesh": {},
  "models": {"student": {"kind": "dual", "weights": "packaged"}},
  "stages": {
    "warm": {
      "kind": "train",
      "model": "student",
      "method": "contrastive",
      "steps": 4,
      "batch_size": 2,
      "learning_rate": 1e-3,
    }
  },
}
CURRICULUM = {"config": CONFIG, "dataset": "toy", "stages": [ROW]}
DONE = {
  "hash": "a1",
  "summary": {},
  "fingerprint": {"stage": {"steps": 4}},
  "files": {"metrics.jsonl": {"bytes": 12, "mtime_ns": 5, "sha256": "ab"}},
}
PROGRESS = {
  "beat": 3,
  "at": "2026-01-01T00:00:00+00:00",
  "work": "warm",
  "done": 1,
  "total": 4,
  "unit": "steps",
  "rate": 2.0,
  "seconds_left": 1.5,
}
WHO = {"host": "a", "pid": 1, "since": "2026-01-01T00:00:00+00:00"}
RESULT = {
  "stage": "evaluate",
  "model_stage": "warm",
  "index": "exact",
  "split": "test",
  "queries": 3,
  "metric": "mrr@10",
  "value": 0.5,
}


def coded(value: Any) -> bytes:
  return json.dumps(value).encode()


def array(values: np.ndarray) -> bytes:
  """A .npy file."""
  file = io.BytesIO()
  np.save(file, values)
  return file.getvalue()


def _overrides(path: pathlib.Path) -> Any:
  """A line an override."""
  words = path.read_bytes().decode("utf-8", "surrogateescape").splitlines()
  return config_file.load(
    str(path.with_name("small.py")), [*filter(None, words)]
  )


def _variant(path: pathlib.Path) -> Any:
  words = path.read_bytes().decode("utf-8", "surrogateescape")
  return config_file.load(f"{path.with_name('small.py')}:{words}")


def _store(path: pathlib.Path) -> list[list[int]]:
  """The rows of a store; a damaged one is built again."""
  rows = [np.array([1, 2], np.int32), np.array([3], np.int32)]
  found = store.build_store(
    path.parent.parent / "texts",
    rows,
    list,
    rows=2,
    vocab_size=9,
    key={},
  )
  return [found[row].tolist() for row in range(len(found))]


def _seed_of_a_store() -> dict[str, bytes]:
  key = {"version": 1, "rows": 2}
  manifest = {"key": key, "dtype": "uint16", "bytes": {"ids": 6, "offsets": 24}}
  return {
    "manifest.json": coded(manifest),
    "ids.bin": np.array([1, 2, 3], np.uint16).tobytes(),
    "offsets.bin": np.array([0, 2, 3], np.int64).tobytes(),
  }


_STORE = _seed_of_a_store()


@functools.cache
def store_name() -> str:
  """The folder's name, which has a digest of the key."""
  text = json.dumps({"rows": 2, "version": 1}, sort_keys=True)
  return f"texts-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _look(path: pathlib.Path) -> Any:
  root = path.parent.parent if path.parent.name == ROW["dir"] else path.parent
  return look.look(root)


def _presence(path: pathlib.Path) -> Any:
  found = presence.look(path.parent)
  return found.alive, presence.silent_for(found.progress)


def _unpacked(path: pathlib.Path) -> list[str]:
  target = path.with_name("out")
  try:
    parts.unpack([path], "top", target)
    return sorted(str(p.relative_to(target)) for p in target.rglob("*"))
  finally:
    shutil.rmtree(target, ignore_errors=True)


def zipped(*members: tuple[str, bytes]) -> bytes:
  """A zip of these files."""
  file = io.BytesIO()
  with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as whole:
    for name, content in members:
      whole.writestr(name, content)
  return file.getvalue()


def _ids(path: pathlib.Path) -> Any:
  found = ids.load(path.parent, "dev")
  return len(found), found.get("q1")


_SMALL = {
  "small.py": f"""
import ml_collections


def get_config(variant=""):
  if variant not in ("", "small"):
    raise ValueError(f"there is no variant {{variant!r}}")
  return ml_collections.ConfigDict({CONFIG!r})
""".encode()
}
_RUN = {
  storage.CURRICULUM: coded(CURRICULUM),
  storage.RESULTS: coded([RESULT]),
  f"{ROW['dir']}/{storage.DONE}": coded(DONE),
  f"{ROW['dir']}/metrics.jsonl": b'{"step": 1}\n',
  presence.RUNNING: coded(WHO),
  presence.PROGRESS: coded(PROGRESS),
}
_UNDER_WAY = {
  **{k: v for k, v in _RUN.items() if storage.DONE not in k},
  f"{ROW['dir']}/{storage.STARTED}": coded({"hash": "a1"}),
}
_FORECAST = {
  "machine": "a CPU",
  "config": {name: CONFIG[name] for name in ("data", "models", "mesh")},
  "stages": {
    "warm": {
      "settings": CONFIG["stages"]["warm"],
      "seconds": 2.5,
      "at_most": ["unless gate skips it"],
    }
  },
}
_PASSAGES = {
  "manifest.json": coded({"rows": 2, "shards": ["000000000-000000002"]}),
  "000000000-000000002/vectors.npy": array(np.ones((2, 3), np.float32)),
}
_IDS = {
  "ids-dev.npy": array(np.array([b"q1", b"q2"])),
  "order-dev.npy": array(np.array([0, 1])),
}


def _vectors(path: pathlib.Path) -> Any:
  root = path.parent.parent if path.suffix == ".npy" else path.parent
  found = encode.open_shards(root)
  return found.shape, found[np.arange(len(found))].tobytes()


READERS = (
  Reader(
    "overrides",
    "overrides",
    _overrides,
    (
      b"seed=3\nstages.warm.steps=7",
      b"data.max_queries={'test': 3}\nmodels.student.layers=(1, 2)",
      b"trackers=('wandb',)\nmodels.student.prompts={'query': 'q: '}",
    ),
    _SMALL,
    named=" ",  # of a key
  ),
  Reader(
    "a variant",
    "variant",
    _variant,
    (b"small,seed=3", b"models.student.layers=(1,2),data.path=7"),
    _SMALL,
    named=" ",
  ),
  Reader(
    "a run's config",
    storage.CURRICULUM,
    lambda path: finished.open_run(path.parent).config,
    (coded(CURRICULUM),),
  ),
  Reader(
    "a run's stages", storage.CURRICULUM, _look, (coded(CURRICULUM),), _RUN
  ),
  Reader(
    "a run's record",
    storage.CURRICULUM,
    lambda path: record.load(path.parent),
    (coded(CURRICULUM),),
    _RUN,
  ),
  Reader(
    "results.json",
    storage.RESULTS,
    lambda path: record.load(path.parent),
    (coded([RESULT, {**RESULT, "width": 2}]),),
    _RUN,
  ),
  Reader(
    "DONE.json", f"{ROW['dir']}/{storage.DONE}", _look, (coded(DONE),), _RUN
  ),
  Reader(
    "STARTED.json",
    f"{ROW['dir']}/{storage.STARTED}",
    _look,
    (coded({"hash": "a1", "id": "x"}),),
    _UNDER_WAY,
  ),
  Reader(
    "files of a stage",
    storage.DONE,
    lambda path: artefacts.damage(
      path.parent, run_files.done(path.parent).get("files") or {}
    ),
    (coded(DONE),),
    {"metrics.jsonl": b'{"step": 1}\n'},
  ),
  Reader(
    artefacts.SEAL,
    artefacts.SEAL,
    lambda path: artefacts.broken(path.parent),
    (coded(DONE["files"]), coded({"part/a": {"bytes": 2, "sha256": "ab"}})),
    {"metrics.jsonl": b'{"step": 1}\n', "part/a": b"ab"},
  ),
  Reader("RUNNING.json", presence.RUNNING, _presence, (coded(WHO),), _RUN),
  Reader(
    "PROGRESS.json", presence.PROGRESS, _presence, (coded(PROGRESS),), _RUN
  ),
  Reader(
    "progress of a stage",
    presence.PROGRESS,
    _look,
    (coded(PROGRESS),),
    _UNDER_WAY,
  ),
  Reader(
    "metrics.jsonl",
    "metrics.jsonl",
    lambda path: run_files.metrics(path.parent),
    (b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": null}\n',),
  ),
  Reader(
    "metrics under way",
    f"{ROW['dir']}/metrics.jsonl",
    _look,
    (b'{"step": 1, "queries_per_second": 3.5}\n{"step": 2}\n',),
    _UNDER_WAY,
  ),
  Reader(
    "forecast.json",
    forecast.FILE,
    lambda path: said.lines(look.look(path.parent)),
    (coded(_FORECAST),),
    _RUN,
  ),
  *(
    Reader(
      f"{name} of a store",
      f"{store_name()}/{name}",
      _store,
      (_STORE[name],),
      {f"{store_name()}/{n}": content for n, content in _STORE.items()},
    )
    for name in _STORE
  ),
  Reader(
    "manifest of vectors",
    "manifest.json",
    _vectors,
    (_PASSAGES["manifest.json"],),
    _PASSAGES,
    named="/",
  ),
  Reader(
    "vectors.npy",
    "000000000-000000002/vectors.npy",
    _vectors,
    (array(np.ones((2, 3), np.float32)),),
    _PASSAGES,
    named="/",
  ),
  Reader("ids", "ids-dev.npy", _ids, (_IDS["ids-dev.npy"],), _IDS, "ids-"),
  Reader("order of ids", "order-dev.npy", _ids, (_IDS["order-dev.npy"],), _IDS),
  Reader(
    "a zip",
    "a.zip",
    _unpacked,
    (zipped(("top/a.txt", b"abc" * 9), ("top/b/c.txt", b"")),),
  ),
)
