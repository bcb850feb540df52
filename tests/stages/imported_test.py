"""The stage that takes scores and lists from a file."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from prod_jax import config_file, kinds, main, stages, strict
from prod_jax.batches.lists import Candidates, load_lists, save_lists
from prod_jax.processes import Processes
from prod_jax.sets.records import DataError
from prod_jax.stages import imported
from prod_jax.stages.run import Run
from tests.sets.folder_test import FILES

REPO = pathlib.Path(__file__).parents[2]
# Of q1, labelled d3 and d1; of q2, labelled d20; q4 is labelled d1.
SCORES = "q1 d1 2.5\nq1 d20 0.5\nq1 d3 1\nq2 d20 3\nq2 d1 -1\nq9 d1 1\nq1 x 1\n"


@pytest.fixture
def job(tmp_path):
  """A function that makes the job of a stage, and its file."""
  folder = tmp_path / "set"
  folder.mkdir()
  for name, content in FILES.items():
    (folder / name).write_text(content)
  path = tmp_path / "scores.tsv"

  def made(content=SCORES, *overrides):
    path.write_text(content)
    config = config_file.load(
      f"{REPO}/configs/imported.py:runlocal",
      [
        f"data.path={folder}",
        f"stages.teacher.path={path}",
        "stages.teacher.transform=",
        *overrides,
      ],
    )
    run = Run(config, Processes(tmp_path / "work"))
    found = stages.job_of(run, "teacher")
    found.folder.mkdir(parents=True, exist_ok=True)
    return found

  return made


def unread(stage: str = "student") -> list[str]:
  """Overrides with which nobody learns from the scores."""
  return [f"stages.{stage}.scores=", f"stages.{stage}.method=contrastive"]


def result(job):
  imported.check(job)
  summary = imported.run(job)
  lists = load_lists(Candidates, job.folder / "candidates")
  return summary, lists, np.load(job.folder / "scores.npy")


def test_lists_scores_and_what_is_said_of_them(job, caplog):
  with caplog.at_level("INFO", logger="absl"):
    summary, lists, scores = result(job())
  assert lists.query.tolist() == [0, 1]
  assert lists.ids.tolist() == [[0, 2, 1], [1, 0, -1]]
  assert lists.label.tolist() == [[1, 1, 0], [1, 0, 0]]
  np.testing.assert_array_equal(scores, lists.score)
  np.testing.assert_array_equal(
    scores, np.array([[2.5, 1, 0.5], [3, -1, np.nan]], np.float32)
  )
  assert summary == {
    "queries": 2,
    "of_queries": 3,
    "negatives_a_query": 1.0,
    "missing": 0,
    "pairs": 5,
    "scored": 5,
    "unknown_queries": 1,
    "unknown_passages": 1,
    "repeated": 0,
    "contradictory": 0,
    "copies": 0,
    "unlabelled_positives": 0,
    "score_mean": 1.2,
    "score_spread": 1.4353,
    "score_min": -1.0,
    "score_max": 3.0,
    "saturated": 0.4,
    "probably": "logit",
  }
  assert "1 pairs name unknown queries, such as q9" in caplog.text
  assert "1 of 3 queries are left without a pair, such as q4" in caplog.text
  assert "1 pairs name unknown passages, such as x" in caplog.text
  assert "scores probably of kind logit: mean 1.2, spread 1.4" in caplog.text
  # The tables of names are gone.
  assert not [*job().folder.glob("names-*")]


def test_pairs_of_other_queries_are_counted(job, caplog):
  """Their labels are hidden, and `queries` is "labelled" as it stands."""
  with caplog.at_level("WARNING", logger="absl"):
    of_one = job(SCORES, "data.labelled=1")
    summary, lists, _ = result(of_one)
  queries = of_one.run.dataset.queries["train"]
  hidden = [query.id for query in queries if not query.positives]
  left = sum(SCORES.count(f"{name} d") for name in hidden)
  assert (len(lists.query), summary["pairs"]) == (1, 5 - left)
  assert (
    left
    and (
      f"{left} pairs are of queries that config.stages.teacher.queries="
      f"'labelled' leaves out, such as {hidden[0]}"
    )
    in caplog.text
  )


def test_a_querys_own_document_is_in_no_list(job, tmp_path):
  own = job(SCORES.replace("q2", "d1"), "data.own_documents=leave_out")
  queries = tmp_path / "set" / "queries.train.tsv"
  queries.write_text(queries.read_text().replace("q2", "d1"))
  qrels = tmp_path / "set" / "qrels.train.tsv"
  qrels.write_text(qrels.read_text().replace("q2", "d1"))
  _, lists, _ = result(own)
  # Query d1 has its own document no more, of which the file has a score.
  assert lists.ids.tolist() == [[0, 2, 1], [1, -1, -1]]


def test_a_pair_whose_score_comes_in_a_later_line(job, caplog):
  given = "".join(
    json.dumps({"qid": "q2", "pid": pid, "score": score}) + "\n"
    for pid, score in [("d20", None), ("d20", 3), ("d1", -1), ("d1", -2)]
  )
  with caplog.at_level("INFO", logger="absl"):
    summary, lists, scores = result(job(given, "stages.teacher.missing=error"))
  assert lists.ids.tolist() == [[1, 0]] and scores.tolist() == [[3, -1]]
  assert summary["repeated"] == 2 and summary["contradictory"] == 1
  assert "2 repeated, 1 contradictory" in caplog.text


def test_a_missing_score_that_is_learnt_from(job, caplog):
  lacks = "q1 d1 2.5\nq1 d20 0.5\nq2 d1 -1\n"
  error = "stages.teacher.missing=error"
  with pytest.raises(
    DataError,
    match="2 of 5 pairs of the lists have no score, such as q1 d3, q2",
  ):
    imported.run(job(lacks, error))
  with caplog.at_level("INFO", logger="absl"):
    summary, lists, scores = result(job(lacks))
  assert summary["missing"] == 2 and lists.query.tolist() == [0]
  assert (
    lists.ids.tolist() == [[0, 1, -1]] and not np.isnan(scores[0, :2]).any()
  )
  assert "1 lists have no labelled passage left" in caplog.text
  with pytest.raises(DataError, match="no list has a labelled passage with a"):
    imported.run(job("q2 d1 -1\n"))


def test_lists_that_are_only_drawn_from_may_lack_scores(job):
  lacks = "q1 d1 2.5\nq1 d20 0.5\nq2 d1 -1\n"
  more = ["stages.teacher.missing=error", *unread()]
  summary, lists, _ = result(job(lacks, *more))
  assert summary["missing"] == 2
  assert lists.ids.tolist() == [[0, 1, 2], [0, 1, -1]]
  first = imported.fingerprint(job(lacks, *more))
  assert first != imported.fingerprint(job(lacks, more[0]))
  with pytest.raises(DataError, match="have no score"):
    imported.run(job(lacks, *more, "stages.student.sampling=simans"))


def test_scores_are_drawn_by_behind_another_stage_too(job):
  """Whatever has judged the lists since, they are the file's."""
  lacks = "q1 d1 2.5\nq1 d20 0.5\nq2 d1 -1\n"
  more = ["stages.teacher.missing=error", *unread()]
  run = job(lacks, *more, "stages.student.sampling=simans").run
  described = run.config.stages
  student = dataclasses.replace(described["student"], candidates="judged")
  judged = kinds.Denoise("denoise", candidates="teacher", scores="score")
  described = described | {"judged": judged, "student": student}
  config = dataclasses.replace(run.config, stages=described)
  with pytest.raises(DataError, match="have no score"):
    imported.run(stages.job_of(Run(config, run.processes), "teacher"))


def test_tables_of_a_killed_run_are_taken_away(job):
  own = job()
  (own.folder / "names-of-a-killed-run").mkdir(parents=True)
  imported.run(own)
  assert not [*own.folder.glob("names-*")]


def test_a_list_without_scores(job):
  own = job("q1 d20\nq2 d1\n", *unread())
  imported.check(own)
  summary = imported.run(own)
  assert summary["scored"] == 0 and "probably" not in summary
  assert not (own.folder / "scores.npy").exists()
  lists = load_lists(Candidates, own.folder / "candidates")
  assert lists.ids.tolist() == [[1, 0, 2], [0, 1, -1]]


@pytest.fixture
def of_mined(job):
  """The same job where it scores the lists of a mine stage."""

  def made(content=SCORES, *overrides):
    own = job(content, *overrides)
    run = own.run
    mine = kinds.Mine(kind="mine", encoded="", depth=2)
    teacher = strict.section(
      kinds.Imported,
      strict.plain(own.stage) | {"candidates": "mine"},
      "teacher",
    )
    run.config.stages.update({"mine": mine, "teacher": teacher})
    folder = run.workdir / "mined"
    lists = Candidates(
      query=np.array([1, 0], np.int32),
      ids=np.array([[0, 1, -1], [1, 2, 0]], np.int32),
      label=np.array([[0, 1, 0], [0, 1, 1]], bool),
      rank=np.array([[0, 1, -1], [0, 1, -1]], np.int32),
      score=np.zeros((2, 3), np.float32),
    )
    save_lists(lists, folder / "candidates")
    return stages.Job(
      run, "teacher", teacher, {"candidates": folder}, own.folder
    )

  return made


def test_scores_of_the_lists_of_another_stage(of_mined):
  _, lists, scores = result(of_mined())
  assert lists.ids.tolist() == [[0, 1, -1], [1, 2, 0]]
  np.testing.assert_array_equal(
    scores, np.array([[-1, 3, np.nan], [0.5, 1, 2.5]], np.float32)
  )


def test_a_score_counts_whatever_else_the_file_says(of_mined):
  """What only the file calls positive is a passage of the lists as any."""
  said = {"query_id": "q2", "pos": ["d1"], "pos_scores": [4]}
  said |= {"neg": ["d20"], "neg_scores": [2]}
  summary, _, scores = result(of_mined(json.dumps(said) + "\n"))
  assert summary["unlabelled_positives"] == 1
  assert scores.tolist()[0][:2] == [4, 2]


def test_lists_of_another_stage_whose_scores_lack(of_mined):
  lacks = "q1 d1 2.5\nq1 d20 0.5\nq2 d1 -1\n"
  summary, lists, scores = result(of_mined(lacks))
  assert summary["missing"] == 2 and lists.query.tolist() == [0]
  assert lists.ids.tolist() == [[1, -1, 0]]
  assert np.isnan(scores[0]).tolist() == [False, True, False]
  with pytest.raises(DataError, match="2 of 5 pairs"):
    imported.run(of_mined(lacks, "stages.teacher.missing=error"))
  with pytest.raises(DataError, match="has no scores for the lists of mine"):
    imported.run(of_mined("q1 d1\n"))


@pytest.mark.parametrize("missing", ["error", "drop"])
def test_whose_lists_the_scores_are_of(of_mined, missing):
  """What may have dropped some has lists of its own only."""
  own = of_mined(SCORES, f"stages.teacher.missing={missing}")
  student = stages.job_of(own.run, "student")
  student.check_scored("scores")
  other = strict.section(
    kinds.Train, strict.plain(student.stage) | {"candidates": "mine"}, "student"
  )
  student = stages.Job(own.run, "student", other, {}, student.folder)
  if missing == "error":
    student.check_scored("scores")
  else:
    with pytest.raises(
      strict.ConfigError, match="scored the lists of 'teacher'"
    ):
      student.check_scored("scores")


def test_a_logit_undoes_a_sigmoid(job, caplog):
  given = "q1 d1 0.9\nq1 d20 0.0001\nq1 d3 0.5\nq2 d20 1\nq2 d1 0\n"
  with caplog.at_level("INFO", logger="absl"):
    summary, _, scores = result(job(given, "stages.teacher.transform=logit"))
  assert "probably" not in summary and summary["score_max"] == 1.0
  assert "scores that become logits: mean 0.48" in caplog.text
  assert "probably" not in caplog.text
  assert scores[0].tolist() == pytest.approx([2.197, 0, -9.21], abs=1e-2)
  assert np.isfinite(scores[1, :2]).all()
  assert "transform='logit'" not in caplog.text
  with caplog.at_level("WARNING", logger="absl"):
    imported.run(job(given))
  assert "config.stages.teacher.transform='logit' undoes" in caplog.text
  with pytest.raises(DataError, match="from -1 to 3, so that they are no prob"):
    imported.run(job(SCORES, "stages.teacher.transform=logit"))


def test_positives_of_the_file_alone(job):
  said = json.dumps({"query_id": "q2", "pos": ["d1"], "neg": ["d3"]}) + "\n"
  own = job(said, *unread())
  summary = imported.run(own)
  assert summary["unlabelled_positives"] == 1
  lists = load_lists(Candidates, own.folder / "candidates")
  assert lists.ids.tolist() == [[2, 1]]
  own = job(said, *unread(), "stages.teacher.positives=add")
  imported.run(own)
  lists = load_lists(Candidates, own.folder / "candidates")
  assert lists.ids.tolist() == [[2, 0, 1]]
  assert lists.label.tolist() == [[0, 1, 1]]


def test_nothing_of_the_set_is_in_the_file(job):
  with pytest.raises(
    DataError, match="nothing in it is of split 'train' of set"
  ):
    imported.run(job("a b 1\nc d 2\n"))


def test_what_can_be_found_before_the_first_stage(job, of_mined):
  with pytest.raises(DataError, match="gone: there is no such file"):
    imported.check(job(SCORES, "stages.teacher.path=gone"))
  with pytest.raises(strict.ConfigError, match=r"teacher\.path is not set"):
    imported.check(job(SCORES, "stages.teacher.path="))
  with pytest.raises(DataError, match="looks like format 'tsv', not 'run'"):
    imported.check(job(SCORES, "stages.teacher.format=run"))
  with pytest.raises(strict.ConfigError, match=r"teacher\.positives is 'add'"):
    imported.check(of_mined(SCORES, "stages.teacher.positives=add"))
  with pytest.raises(strict.ConfigError, match="mine has lists for 'train'"):
    imported.check(of_mined(SCORES, "stages.teacher.split=test"))
  with pytest.raises(DataError, match="gone: there is no such file"):
    main.check(job(SCORES, "stages.teacher.path=gone").run)


def test_another_file_makes_other_scores(job):
  first = imported.fingerprint(job())
  assert first == imported.fingerprint(job())
  assert first != imported.fingerprint(job(SCORES + "q4 d1 1\n"))
