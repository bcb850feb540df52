"""A run, found from wherever its folder is opened."""

import json
import pathlib

from prod_jax import config, model_kinds, strict
from prod_jax.export import finished


def write(workdir: pathlib.Path, **more: str) -> pathlib.Path:
  """The record of a run whose config has relative paths."""
  shape = dict(kind="dual", width=8, depth=1, heads=2, mlp_width=16)
  made = config.Config(
    seed=0,
    data=config.Data(name="folder", path="my/set", tokenizer="packaged"),
    mesh=config.Mesh(),
    models={
      "here": model_kinds.Dual(**shape, weights="models/here"),
      "hub": model_kinds.Dual(**shape, weights="org/name"),
      "there": model_kinds.Dual(**shape, weights="/models/there"),
    },
    stages={},
  )
  workdir.mkdir(parents=True)
  record = {"config": strict.plain(made), "stages": [], **more}
  (workdir / "curriculum.json").write_text(json.dumps(record))
  return workdir


def paths(workdir: pathlib.Path) -> list[str]:
  found = finished.open_run(workdir).config
  weights = [model.weights for model in found.models.values()]
  return [found.data.path, found.data.tokenizer, found.data.data_dir, *weights]


def test_relative_paths_are_those_of_where_it_was_run(tmp_path, monkeypatch):
  base, elsewhere = tmp_path / "base", tmp_path / "elsewhere"
  workdir = write(base / "runs" / "mine", run_from=str(base))
  for folder in (base / "my" / "set", base / "models" / "here", elsewhere):
    folder.mkdir(parents=True)
  said = ["my/set", "packaged", "", "models/here", "org/name", "/models/there"]
  monkeypatch.chdir(elsewhere)
  assert paths(workdir) == [
    *(f"{base}/my/set", "packaged", "", f"{base}/models/here"),
    *("org/name", "/models/there"),
  ]
  # What has moved with its run is looked for from here, as it always was.
  moved = base.rename(tmp_path / "moved")
  monkeypatch.chdir(moved)
  assert paths(moved / "runs" / "mine") == said
  assert paths(write(tmp_path / "of an earlier version")) == said
