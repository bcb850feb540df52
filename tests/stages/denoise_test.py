"""What a teacher takes for positives, by each rule, and what becomes of it."""

import dataclasses
import json

import numpy as np
import pytest

from prod_jax import config_file, kinds, main, packaged, stages, strict
from prod_jax.batches.lists import Candidates, load_lists, save_lists
from prod_jax.processes import Processes
from prod_jax.retrieval import denoise
from prod_jax.stages.run import Run
from tests.main_test import REPO, write_folder

NAN = np.nan
# A gold passage at rank 1; two of them, the second missed by the retriever;
# none; a gold passage alone. -1 is padding.
LISTS = Candidates(
  query=np.array([4, 7, 8, 9], np.int32),
  ids=np.array(
    [[10, 11, 12, 13], [20, 21, 22, 23], [30, 31, -1, -1], [40, -1, -1, -1]],
    np.int32,
  ),
  label=np.array([[0, 1, 0, 0], [1, 0, 0, 1], [0] * 4, [1, 0, 0, 0]], bool),
  rank=np.array(
    [[0, 1, 2, 3], [0, 1, 2, -1], [0, 1, -1, -1], [0, -1, -1, -1]], np.int32
  ),
  score=np.array(
    [[9, 8, 7, 6], [9, 8, 7, 2], [9, 8, NAN, NAN], [9, NAN, NAN, NAN]],
    np.float32,
  ),
)
# The best positive of the second list is the one that was missed.
SCORES = np.array(
  [[3, 2, 2, 1.5], [1, 3.5, 3, 4], [5, 1, NAN, NAN], [3, NAN, NAN, NAN]],
  np.float32,
)


def stage(**changes):
  named = dict(kind="denoise", candidates="mine", scores="score")
  return kinds.Denoise(**named | changes)


def found(**changes):
  """(list, column) of each passage that the rule finds."""
  made = denoise.find(LISTS, SCORES, stage(**changes))
  return [tuple(at) for at in np.argwhere(made.false_QC).tolist()]


@pytest.mark.parametrize(
  ("rule", "expected"),
  [
    # A tie is a negative still, and so are all of a list without a label.
    (dict(), [(0, 0)]),
    (dict(margin=0.5), [(0, 0), (0, 2)]),
    (dict(margin=-1.0), []),
    (dict(margin=1.0), [(0, 0), (0, 2), (0, 3), (1, 1)]),
    (dict(rule="relative", margin=0.75), [(0, 0), (0, 2), (1, 1)]),
    (dict(rule="relative", margin=1.0), [(0, 0)]),
    # Of 2, 4 and 3 half are up to 3, a quarter up to 2.5.
    (dict(rule="percentile", percentile=50.0), [(1, 1), (2, 0)]),
    (
      dict(rule="percentile", percentile=25.0),
      [(0, 0), (1, 1), (1, 2), (2, 0)],
    ),
    (dict(rule="percentile", percentile=100.0), [(2, 0)]),
  ],
)
def test_rules(rule, expected):
  assert found(**rule) == expected


def test_limits_and_the_best_positive():
  made = denoise.find(LISTS, SCORES, stage(margin=0.5))
  assert made.positive_Q.tolist() == [1, 3, -1, 0]
  np.testing.assert_array_equal(made.limit_Q, [1.5, 3.5, NAN, 2.5])


def test_a_percentile_without_any_positive_finds_nothing():
  unlabelled = LISTS._replace(label=np.zeros_like(LISTS.label))
  rule = stage(rule="percentile", percentile=50.0)
  made = denoise.find(unlabelled, SCORES, rule)
  assert not made.false_QC.any()
  assert np.isnan(made.limit_Q).all()


def test_dropped_passages_leave_places_and_scores_stay_aligned():
  false_QC = np.zeros((4, 4), bool)
  false_QC[0, 0] = false_QC[1, 1] = false_QC[2, :2] = True
  lists, scores = denoise.dropped(LISTS, SCORES, false_QC)
  assert lists.query.tolist() == [4, 7, 9]  # the third has nothing left
  assert lists.ids[:2].tolist() == [[-1, 11, 12, 13], [20, -1, 22, 23]]
  assert lists.rank[:2].tolist() == [[-1, 0, 1, 2], [0, -1, 1, -1]]
  assert lists.label.tolist() == LISTS.label[[0, 1, 3]].tolist()
  np.testing.assert_array_equal(scores[0], [NAN, 2, 2, 1.5])
  np.testing.assert_array_equal(np.isnan(scores), lists.ids < 0)


def test_relabelled_passages_follow_the_positive_that_is_drawn():
  false_QC = np.zeros((4, 4), bool)
  false_QC[0, [0, 2]] = false_QC[2, 1] = True
  lists, scores = denoise.relabelled(LISTS, SCORES, false_QC)
  assert lists.ids[0].tolist() == [11, 10, 12, 13]
  assert lists.label[0].tolist() == [True, True, True, False]
  assert lists.rank[0].tolist() == [1, 0, 2, 3]
  np.testing.assert_array_equal(lists.score[0], [8, 9, 7, 6])
  np.testing.assert_array_equal(scores[0], [2, 3, 2, 1.5])
  assert lists.ids[1].tolist() == LISTS.ids[1].tolist()
  # Nobody labelled the third; it begins with what the teacher likes.
  assert lists.ids[2].tolist() == [31, 30, -1, -1]
  assert lists.label[2].tolist() == [True, False, False, False]
  np.testing.assert_array_equal(scores[2], [1, 5, NAN, NAN])


def test_places_in_the_teachers_order():
  assert denoise.places(SCORES).tolist() == [
    [0, 1, 2, 3],
    [3, 1, 2, 0],
    [0, 1, 2, 3],
    [0, 1, 2, 3],
  ]


def config_of(path, **changes):
  """A tiny student and cross-encoder, and a student that learns denoised."""
  train = dict(kind="train", steps=0, batch_size=8, learning_rate=1e-3)
  start = dict(train, model="student", method="contrastive")
  judged = dict(candidates="mine", scores="score")
  both = dict(candidates="denoise", scores="denoise", negatives=3)
  learns = dict(in_batch=False, temperature=2.0, hard=0.1, soft=0.9, lwf=0.1)
  described = {
    "start": kinds.Train(**start),
    "ce": kinds.Train(**dict(start, model="ce", method="ranking", negatives=1)),
    "encode": kinds.Encode(kind="encode", params="start", splits=("train",)),
    "mine": kinds.Mine(kind="mine", encoded="encode", depth=6),
    "score": kinds.Score(kind="score", params="ce", candidates="mine"),
    "denoise": kinds.Denoise(kind="denoise", **judged | changes),
    "student": kinds.Train(
      **dict(start, steps=2, init="start", method="prod", anchor="denoise"),
      **both,
      settings=learns,
    ),
  }
  config = config_file.load(
    f"{REPO}/configs/medquad.py:runlocal", [f"data.path={path}"]
  )
  return dataclasses.replace(config, stages=described)


@pytest.fixture
def run_of(tmp_path):
  """A function that makes the run of such a config."""
  try:
    packaged.model_folder()
  except ModuleNotFoundError as error:
    pytest.skip(str(error))
  folder = write_folder(tmp_path / "set")
  return lambda **changes: Run(
    config_of(folder, **changes), Processes(tmp_path / "work")
  )


@pytest.fixture
def judged(run_of):
  """A function that denoises such lists; row 7 is q7 or p7 of the set."""

  def made(scores=SCORES, lists=LISTS, **changes):
    job = stages.job_of(run_of(**changes), "denoise")
    job.folder.mkdir(parents=True)
    save_lists(lists, job.inputs["candidates"] / "candidates")
    job.inputs["scores"].mkdir()
    np.save(job.inputs["scores"] / "scores.npy", scores)
    return stages.kind_of(job).run(job), job.folder

  return made


def test_each_passage_is_written_down_with_scores_ranks_and_reason(
  judged, caplog
):
  with caplog.at_level("INFO", logger="absl"):
    summary, folder = judged(rule="percentile", percentile=50.0)
  lines = (folder / "false_negatives.jsonl").read_text().splitlines()
  said = dict(stage="denoise", rule="percentile", limit=3.0, action="drop")
  assert [json.loads(line) for line in lines] == [
    dict(
      query_id="q7",
      passage_id="p21",
      positive_id="p23",
      score=3.5,
      positive_score=4.0,
      rank=1,
      teacher_rank=1,
      **said,
    ),
    dict(
      query_id="q8",
      passage_id="p30",
      positive_id=None,
      score=5.0,
      positive_score=None,
      rank=0,
      teacher_rank=0,
      **said,
    ),
  ]
  assert summary == {
    "queries": 4,
    "negatives": 7,
    "found": 2,
    "share": 0.2857,
    "queries_touched": 2,
    "without_negatives": 1,
    "left_out": 0,
  }
  assert (
    "denoise: score takes 2 of 7 unlabelled passages for positives (28.6%), of "
    "2 of 4 queries (rule percentile, action drop)"
  ) in caplog.messages


def test_kept_lists_are_as_they_were_and_counted(judged):
  summary, folder = judged(action="keep", margin=0.5)
  left = load_lists(Candidates, folder / "candidates")
  for one, other in zip(left, LISTS, strict=True):
    np.testing.assert_array_equal(one, other)
  np.testing.assert_array_equal(np.load(folder / "scores.npy"), SCORES)
  assert summary["found"] == 2


def test_relabelled_lists_come_with_their_scores(judged):
  _, folder = judged(action="relabel")
  left = load_lists(Candidates, folder / "candidates")
  assert left.label.sum() == LISTS.label.sum() + 1
  assert left.ids[0].tolist() == [11, 10, 12, 13]
  assert np.load(folder / "scores.npy")[0].tolist() == [2, 3, 2, 1.5]


def test_a_share_of_a_logit_is_refused(judged):
  with pytest.raises(strict.ConfigError, match="3 of 3 positives have none"):
    judged(SCORES - 4, rule="relative", margin=0.95)


def test_lists_without_any_negative_left_are_an_error(judged):
  labelled = Candidates(*(x[:2] for x in LISTS))
  with pytest.raises(
    strict.ConfigError, match=r"with config\..*denoise\.margin"
  ):
    judged(SCORES[:2], labelled, margin=99.0)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (dict(candidates="encode"), "candidates is 'encode', a stage of kind enco"),
    (dict(scores="encode"), "scores is 'encode', a stage of kind encode"),
    (dict(split="dev"), "split is 'dev', but mine has lists for 'train'"),
    (dict(rule="relative"), "margin is 0; rule='relative' takes a share"),
    (dict(rule="percentile"), "percentile is 0; rule='percentile' takes"),
    (
      dict(rule="percentile", percentile=9.0, margin=1.0),
      "margin is 1, and rule='percentile' has none",
    ),
    (dict(percentile=9.0), "percentile is 9, and rule='absolute' has none"),
  ],
)
def test_what_cannot_be_is_refused_with_its_key(run_of, changes, message):
  with pytest.raises(strict.ConfigError, match=r"config\.stages\.denoise") as e:
    main.check(run_of(**changes))
  assert message in str(e.value)


def replaced(run, name, **changes):
  """The run with other settings of a stage."""
  stage = dataclasses.replace(run.config.stages[name], **changes)
  config = dataclasses.replace(
    run.config, stages={**run.config.stages, name: stage}
  )
  return Run(config, run.processes)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    # Of lists that have lost passages, only their own scores are aligned.
    (dict(scores="score"), "score scored the lists of 'mine'"),
    (
      dict(candidates="mine", anchor="start"),
      "denoise scored the lists of 'denoise'",
    ),
    (dict(init=""), "denoise was mined with start"),
    (
      dict(widths=(16, 8)),
      r"denoise has scores of all 64 coordinates, and widths=\(16, 8\) cuts",
    ),
  ],
)
def test_lists_scores_and_anchor_go_together(run_of, changes, message):
  with pytest.raises(strict.ConfigError, match=message):
    main.check(replaced(run_of(), "student", **changes))


def test_division_takes_the_lists_that_were_read(run_of):
  """Without what stood above the positive a teacher is right of each query."""
  run = run_of()
  for role in ("candidates", "scores"):
    read = dict(candidates="mine", scores="score") | {role: "denoise"}
    divide = kinds.Divide(kind="divide", **read)
    described = {**run.config.stages, "divide": divide}
    config = dataclasses.replace(run.config, stages=described)
    with pytest.raises(strict.ConfigError, match=rf"divide\.{role}.* of kind"):
      main.check(Run(config, run.processes))


@pytest.mark.long
def test_a_student_learns_from_denoised_lists(run_of):
  run = run_of(margin=0.02)
  main.check(run)
  summaries = {}
  for name in run.config.stages:
    job = stages.job_of(run, name)
    job.folder.mkdir(parents=True)
    summaries[name] = stages.kind_of(job).run(job)
  mined, left = (
    load_lists(Candidates, run.folder(name) / "candidates")
    for name in ("mine", "denoise")
  )
  lost = (mined.ids >= 0).sum() - (left.ids >= 0).sum()
  assert lost == summaries["denoise"]["found"] > 0
  log = (run.folder("student") / "metrics.jsonl").read_text().splitlines()
  assert all(np.isfinite(json.loads(line)["loss"]) for line in log)
  scored = json.loads((run.folder("student") / "scores.json").read_text())
  assert scored["retriever"]["is_student"]
  record = main._record_of(stages.job_of(run, "student"))
  assert record["taught_by"] == "ce"
