"""A run, found from wherever its folder is opened."""

import json
import pathlib

import pytest

from prod_jax import config, kinds, model_kinds, run_files, strict
from prod_jax.export import finished

FOLDERS = ("my/set", "models/here", "packaged", "org/name", "scores.tsv")


def write(workdir: pathlib.Path, **more: str) -> pathlib.Path:
  """The record of a run whose config has relative paths."""
  shape = dict(kind="dual", width=8, depth=1, heads=2, mlp_width=16)
  models = {
    name: model_kinds.Dual(**shape, weights=weights, tokenizer="packaged")
    for name, weights in {
      "here": "models/here",
      "hub": "org/name",
      "there": "/models/there",
      "word": "packaged",
    }.items()
  }
  made = config.Config(
    seed=0,
    data=config.Data(name="folder", path="my/set", tokenizer="packaged"),
    mesh=config.Mesh(),
    models=models,
    stages={"theirs": kinds.Imported(kind="imported", path="scores.tsv")},
  )
  workdir.mkdir(parents=True)
  record = {"config": strict.plain(made), "stages": [], **more}
  (workdir / "curriculum.json").write_text(json.dumps(record))
  return workdir


def paths(workdir: pathlib.Path) -> list[str]:
  found = finished.open_run(workdir).config
  models = found.models.values()
  assert {model.tokenizer for model in models} == {found.data.tokenizer}
  return [
    found.data.path,
    found.data.tokenizer,
    found.data.data_dir,
    found.stages["theirs"].path,
    *(model.weights for model in models),
  ]


SAID = [
  *("my/set", "packaged", "", "scores.tsv"),
  *("models/here", "org/name", "/models/there", "packaged"),
]


@pytest.fixture
def base(tmp_path):
  """Where the run was started, with a folder at each of its paths."""
  base = tmp_path / "base"
  for name in FOLDERS:
    (base / name).mkdir(parents=True)
  write(base / "runs" / "mine", run_from=str(base))
  return base


def test_relative_paths_are_those_of_where_it_was_run(
  base, tmp_path, monkeypatch, caplog
):
  monkeypatch.chdir(tmp_path)
  with caplog.at_level("INFO", "absl"):
    assert paths(base / "runs" / "mine") == [
      *(f"{base}/my/set", "packaged", "", f"{base}/scores.tsv"),
      *(f"{base}/models/here", f"{base}/org/name"),
      *("/models/there", "packaged"),
    ]
  (said,) = caplog.messages
  assert said.startswith("my/set, models/here, org/name, scores.tsv: not here")
  assert f"read in {base}, where the run was started" in said


def test_what_lies_in_the_current_folder_comes_first(
  base, tmp_path, monkeypatch, caplog
):
  copy = tmp_path / "copy"
  for name in FOLDERS[1:]:
    (copy / name).mkdir(parents=True)
  monkeypatch.chdir(copy)
  with caplog.at_level("INFO", "absl"):
    assert paths(base / "runs" / "mine") == [f"{base}/my/set", *SAID[1:]]
  assert caplog.messages[0].startswith("my/set: not here")
  assert caplog.messages[1].startswith(
    f"models/here, org/name, scores.tsv: here, and also in {base}, where"
  )


def test_what_has_moved_with_its_run_is_looked_for_from_here(
  base, tmp_path, monkeypatch
):
  moved = base.rename(tmp_path / "moved")
  monkeypatch.chdir(moved)
  assert paths(moved / "runs" / "mine") == SAID
  assert paths(write(tmp_path / "of an earlier version")) == SAID


def test_a_place_that_may_not_be_entered_has_nothing_in_it(
  tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  # The system refuses it to root, too.
  assert paths(write(tmp_path / "long", run_from="/" + "x" * 300)) == SAID
  shut = tmp_path / "shut"
  (shut / "my" / "set").mkdir(parents=True)
  workdir = write(tmp_path / "mine", run_from=str(shut))
  shut.chmod(0)
  try:
    assert paths(workdir)[1:] == SAID[1:]
  finally:
    shut.chmod(0o700)


def test_a_run_that_is_started_in_a_folder_that_is_gone_names_none(
  tmp_path, monkeypatch
):
  gone = tmp_path / "gone"
  gone.mkdir()
  monkeypatch.chdir(gone)
  assert run_files.run_from() == {"run_from": str(gone)}
  gone.rmdir()
  assert run_files.run_from() == {}
