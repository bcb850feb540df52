"""`--dry_run`: it tells what a run would do, and touches nothing."""

import pathlib

import pytest
import requests

from prod_jax import config_file, curriculum, main, packaged, strict
from prod_jax.processes import Processes
from prod_jax.sets import download
from prod_jax.sets.datasets import msmarco_passage, pydocs
from prod_jax.sets.records import DataError
from prod_jax.stages.run import Run
from tests.main_test import QUICKSTART, REPO, run, write_folder
from tests.sets import published

STAGE = "student_warm"
# Not downloaded as long as nobody puts its files there.
MARCO = "data.name=msmarco_passage"


@pytest.fixture(autouse=True)
def weights():
  """The tokenizer comes with the quickstart's weights."""
  try:
    packaged.model_folder()
  except ModuleNotFoundError as error:
    pytest.skip(str(error))


@pytest.fixture(autouse=True)
def no_requests(monkeypatch):
  """Any request fails: of this process at once, of another one in the end."""

  def asked(*args, **kwargs):
    raise AssertionError(f"asks for {args} {kwargs}")

  monkeypatch.setattr(requests.Session, "request", asked)
  monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")


@pytest.fixture
def parsed(monkeypatch):
  """The modules whose docstrings were parsed; there is a small package only."""
  spec = pydocs.importlib.util.find_spec("optax")
  (folder,) = map(pathlib.Path, spec.submodule_search_locations)
  modules = []
  module_pairs = pydocs.module_pairs

  def pairs(module: str, source: bytes) -> list[pydocs.Pair]:
    modules.append(module)
    return module_pairs(module, source)

  monkeypatch.setattr(pydocs, "module_pairs", pairs)
  monkeypatch.setattr(pydocs, "_modules", lambda: pydocs._walk("optax", folder))
  pydocs.extract.cache_clear()
  yield modules
  pydocs.extract.cache_clear()


def run_of(workdir: pathlib.Path, *overrides: str) -> Run:
  """The quickstart, in this process, as a dry run has it."""
  config = config_file.load(str(REPO / QUICKSTART), overrides)
  return Run(config, Processes(workdir), may_fetch=False)


@pytest.fixture
def look(monkeypatch):
  """What a dry run finds, for which it waits for no other process."""

  def waits(self, what):
    raise AssertionError(f"waits: {what}")

  def found(run: Run) -> list[curriculum.Plan]:
    with monkeypatch.context() as patched:
      patched.setattr(Processes, "meet", waits)
      return main.look(run)

  return found


def tree(*folders: pathlib.Path) -> dict[pathlib.Path, int]:
  """All that lies there, and when it was changed."""
  return {
    path: path.stat().st_mtime_ns
    for folder in folders
    for path in [folder, *folder.rglob("*")]
  }


def statuses(text: str) -> dict[str, str]:
  """The last column of a table."""
  rows = [line.split() for line in text.splitlines()[1:]]
  return {row[0]: row[-1] for row in rows}


def test_a_folder_before_and_after_a_run(tmp_path):
  folder, work = write_folder(tmp_path / "set"), tmp_path / "work"
  config = f"configs/medquad.py:runlocal,data.path={folder}"
  here = f"--config.data.data_dir={work / 'data'}"
  before = tree(tmp_path)
  done = run(work, here, "--dry_run", config=config)
  assert set(statuses(done.stdout).values()) == {"pending"}
  assert "set is not prepared yet: what is in its splits is not" in done.stderr
  assert tree(tmp_path) == before and not work.exists()
  run(work, here, f"--stages={STAGE}", config=config)
  before = tree(tmp_path)
  done = run(work, here, "--dry_run", config=config)
  assert tree(tmp_path) == before
  found = statuses(done.stdout)
  cached = {name for name, status in found.items() if status == "cached"}
  assert cached == {STAGE} and len(found) > 2
  assert "not prepared" not in done.stderr
  # What was prepared may go: the files alone say whether a stage is done.
  (work / "data").rename(tmp_path / "elsewhere")
  done = run(work, here, "--dry_run", config=config)
  assert statuses(done.stdout) == found
  assert not (work / "data").exists()


def test_docstrings_are_not_parsed(tmp_path, look, parsed, caplog):
  work = tmp_path / "work"
  assert {plan.status for plan in look(run_of(work))} == {"pending"}
  assert "pydocs is not prepared yet" in caplog.text
  assert not parsed and not work.exists()
  made = run_of(work)
  assert made.dataset.fingerprint == made.located.fingerprint
  before, all_of_them = tree(work), len(parsed)
  caplog.clear()
  look(run_of(work))
  assert tree(work) == before and len(parsed) == all_of_them
  assert "not prepared" not in caplog.text


def test_splits_are_checked_where_the_set_is_prepared(tmp_path, look, parsed):
  splits = "stages.encode_teacher_de.splits=('train','dev','test','dl21')"
  wrong = run_of(tmp_path, splits)
  main.check(wrong)
  look(wrong)
  assert wrong.dataset.queries
  with pytest.raises(strict.ConfigError, match="splits asks for 'dl21'"):
    look(wrong)


def test_splits_without_files_are_found_before_anything_is_prepared(
  tmp_path, look
):
  folder = write_folder(tmp_path / "set")
  config = f"{REPO}/configs/medquad.py:runlocal"
  made = config_file.load(config, [f"data.path={folder}"])
  (folder / "queries.dev.tsv").unlink()
  (folder / "qrels.dev.tsv").unlink()
  lacking = Run(made, Processes(tmp_path / "work"), may_fetch=False)
  with pytest.raises(
    strict.ConfigError, match="'dev', and set has train, test"
  ):
    look(lacking)
  assert not (tmp_path / "work").exists()


def test_a_broken_line_is_found_before_anything_is_prepared(
  tmp_path, look, caplog
):
  folder = write_folder(tmp_path / "set")
  config = f"{REPO}/configs/medquad.py:runlocal"
  made = config_file.load(config, [f"data.path={folder}"])
  run = Run(made, Processes(tmp_path / "work"), may_fetch=False)
  look(run)
  assert "`prod_jax prepare` reads all of them" in caplog.text
  path = folder / "collection.tsv"
  lines = path.read_text().splitlines()
  lines[16] = "p16 without a tab"
  path.write_text("\n".join(lines))
  with pytest.raises(DataError, match=r"collection\.tsv:17: 1 columns"):
    look(Run(made, Processes(tmp_path / "work"), may_fetch=False))
  assert not (tmp_path / "work").exists()


def test_a_set_that_is_not_downloaded(tmp_path, look, caplog):
  marco = run_of(tmp_path / "work", MARCO)
  plans = look(marco)
  assert [plan.stage.name for plan in plans] == [*marco.config.stages]
  assert {plan.status for plan in plans} == {"pending"}
  assert "collectionandqueries.tar.gz is not downloaded yet" in caplog.text
  assert not [*tmp_path.iterdir()]


def test_the_command_downloads_nothing(tmp_path):
  arguments = [f"--config.{MARCO}", "--dry_run"]
  arguments += [f"--config.data.data_dir={tmp_path / 'data'}"]
  done = run(tmp_path / "work", *arguments)
  assert set(statuses(done.stdout).values()) == {"pending"}
  assert "is not downloaded yet" in done.stderr
  wrong = "--config.stages.ce_1.model=student"
  done = run(tmp_path / "work", *arguments, wrong, code=2)
  assert "trains a model of kind cross" in done.stderr
  assert not [*tmp_path.iterdir()]


def test_what_is_downloaded_is_known_without_its_publisher(
  tmp_path, look, monkeypatch
):
  folder = tmp_path / "data" / "downloads" / "msmarco_passage"
  folder.mkdir(parents=True)
  published.msmarco_passage(folder)
  remotes = [download.Remote(f"https://x/{p.name}") for p in folder.iterdir()]
  monkeypatch.setattr(msmarco_passage, "_REMOTES", tuple(remotes))
  stages = run_of(tmp_path).config.stages.items()
  encodes = [name for name, stage in stages if stage.kind == "encode"]
  there = (MARCO, *(f"stages.{x}.splits=('train','dev')" for x in encodes))
  # Put there by hand, it has to be held against its checksum first.
  before = tree(tmp_path)
  assert {plan.hash for plan in look(run_of(tmp_path, *there))} == {""}
  assert tree(tmp_path) == before
  for remote in remotes:
    download.fetch(remote, folder)
  before = tree(tmp_path)
  assert all(plan.hash for plan in look(run_of(tmp_path, *there)))
  assert tree(tmp_path) == before
  with pytest.raises(
    strict.ConfigError, match="'test', and msmarco_passage has"
  ):
    look(run_of(tmp_path, MARCO))
