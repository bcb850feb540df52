"""Every method's config from start to end, and what its stages leave."""

import json
import pathlib
import shutil

import numpy as np
import pytest

from prod_jax import config_file, curriculum, main, strict
from prod_jax.batches import dark
from prod_jax.batches.lists import Candidates, Compared, Dark, load_lists
from prod_jax.models import hf
from prod_jax.processes import Processes
from prod_jax.retrieval import rerank
from prod_jax.stages import job_of
from prod_jax.stages.run import Run
from tests.commands import CACHE, REPO
from tests.main_test import SCORED, run

# The stages of a config that train the student by its method.
METHODS = {
  "baselines": [
    "none",
    "list_kl",
    "list_kl_t1",
    "list_kl_raw",
    "margin_mse",
    "margin_all",
    "tas",
    "rocketqa_v2",
  ],
  "lead": ["lead_teacher_de", "lead_late", "lead_ce"],
  "cl_drd": ["cl_drd_1", "cl_drd_2", "cl_drd_3"],
  "pair_distill": ["pair_distill"],
  "adam": ["adam"],
  "prod_options": [
    "prod_bi_logit",
    "prod_late",
    "prod_larger",
    "prod_simans",
    "prod_dkd",
    "prod_logit",
    "prod_prob",
  ],
}


# Of methods that have a test of their steps; each trains seven or eight times.
LONG = (
  "adam",
  "baselines",
  "prod_options",
  "lead",
  "cl_drd",
  "pair_distill",
)
# What the others read besides lists and scores.
READ = {"pair_distill": ("duo", "compare"), "adam": ("darken",)}


def less(name: str) -> list[str]:
  """The stages that a method needs, and its own."""
  *settings, stages = SCORED
  own = [
    f"{does}{stage}"
    for stage in METHODS[name]
    for does in ("", "encode_", "evaluate_")
  ]
  return [*settings, ",".join([stages, *READ[name], *own])]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, request):
  """A function that runs a method's config once and returns its workdir.

  All begin with the same stages, which the first one leaves to the others.
  """
  whole = request.config.getoption("long")
  done: dict[str, pathlib.Path] = {}

  def of(name: str) -> pathlib.Path:
    if name not in done:
      work = tmp_path_factory.mktemp(name) / "work"
      if done:
        shutil.copytree(next(iter(done.values())), work)
      arguments = [] if whole else less(name)
      config = f"configs/{name}.py:runlocal"
      ran = run(work, *arguments, config=config)
      assert not done or "score_lists: cached" in ran.stderr
      done[name] = work
    return done[name]

  return of


def folder(workdir: pathlib.Path, stage: str) -> pathlib.Path:
  return next(p for p in workdir.iterdir() if p.name[3:] == stage)


def run_of(workdir: pathlib.Path, name: str) -> Run:
  """A run that was made, in this process."""
  path = str(REPO / "configs" / f"{name}.py:runlocal")
  data_dir = f"data.data_dir={CACHE / 'data'}"
  return Run(config_file.load(path, [data_dir]), Processes(workdir))


@pytest.mark.parametrize(
  "name",
  [
    pytest.param(name, marks=pytest.mark.long if name in LONG else ())
    for name in METHODS
  ],
)
def test_each_method_trains_and_is_measured(workdir, name, request):
  rows = json.loads((workdir(name) / "results.json").read_text())
  measured = {row["model_stage"] for row in rows if row["metric"] == "mrr@10"}
  assert measured >= {*METHODS[name]}
  if request.config.getoption("long"):
    assert measured >= {"student_warm", "teacher_de", "ce"}
  warm = hf.load_params(
    folder(workdir(name), "student_warm") / "params.safetensors"
  )
  for stage in METHODS[name]:
    log = (folder(workdir(name), stage) / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert all(np.isfinite(list(line.values())).all() for line in lines)
    trained = hf.load_params(
      folder(workdir(name), stage) / "params.safetensors"
    )
    moved = np.abs(
      trained["encoder"]["word"]["embedding"]
      - warm["encoder"]["word"]["embedding"]
    )
    assert moved.max() > 0


def test_every_config_is_a_plan_and_all_methods_are_one(tmp_path):
  """configs/compare.py runs the stages of the other files, and PROD's own."""
  done = run(tmp_path / "x", "--dry_run", config="configs/compare.py:runlocal")
  stages = {line.split()[0] for line in done.stdout.splitlines()[1:]}
  wanted = {
    s for n, names in METHODS.items() if n != "prod_options" for s in names
  }
  assert stages >= wanted | {"prod_de", "prod_ce", "prod"}
  for name in (*METHODS, "compare", "quickstart", "medquad", "boolq"):
    path = str(REPO / "configs" / f"{name}.py")
    assert config_file.load(path, []).stages


@pytest.mark.long
@pytest.mark.parametrize("stage", ["lead_ce", "lead_late", "lead_teacher_de"])
def test_a_joint_stage_leaves_its_teacher_too(workdir, stage):
  teacher = folder(workdir("lead"), stage.removeprefix("lead_"))
  before = hf.load_params(teacher / "params.safetensors")
  after = hf.load_params(folder(workdir("lead"), stage) / "teacher.safetensors")
  assert before.keys() == after.keys()
  word = [x["encoder"]["word"]["embedding"] for x in (before, after)]
  assert np.abs(word[0] - word[1]).max() > 0


@pytest.mark.long
def test_preferences_are_the_models_in_both_orders(workdir):
  work = workdir("pair_distill")
  run = run_of(work, "pair_distill")
  job = job_of(run, "compare")
  compared = load_lists(Compared, folder(work, "compare") / "compared")
  lists = load_lists(Candidates, folder(work, "mine_lists") / "candidates")
  scores_QC = np.load(folder(work, "score_lists") / "scores.npy")
  column_C = np.arange(lists.label.shape[1])
  second = lists.label & (column_C != lists.label.argmax(axis=1)[:, None])
  scores_QC[second] = -np.inf  # is in no pair
  rank_QC = np.argsort(np.argsort(-scores_QC, axis=1), axis=1)
  line, pair = np.nonzero(compared.first >= 0)
  first, second = compared.first[line, pair], compared.second[line, pair]
  gap = rank_QC[line, second] - rank_QC[line, first]
  assert gap.min() >= 1 and gap.max() <= 5
  assert rank_QC[line, second].max() == 7  # of the first 8
  line, first, second = line[:20], first[:20], second[:20]

  tokens = job.tokens_of("params")

  def sigmoid(a, b):
    logits = rerank.score_texts(
      job.frozen("params"),
      tokens.queries["train"].slices(lists.query[line]),
      [tokens.passages.slices(lists.ids[line, x]) for x in (a, b)],
    )
    return 1 / (1 + np.exp(-logits))

  wanted = (sigmoid(first, second) + 1 - sigmoid(second, first)) / 2
  np.testing.assert_allclose(
    compared.prefer[line, pair[:20]], wanted, rtol=1e-4
  )


def test_dark_examples_come_from_their_list_and_are_scored(workdir):
  work = workdir("adam")
  run = run_of(work, "adam")
  job = job_of(run, "darken")
  made = load_lists(Dark, folder(work, "darken") / "dark")
  lists = load_lists(Candidates, folder(work, "mine_lists") / "candidates")
  most = run.config.data.passage_length - 2
  tokens = job.tokens_of("params")
  passages = tokens.passages
  assert made.score.shape == (len(lists.query), 4)
  assert (np.isnan(made.score) == (made.ids < 0).all(axis=-1)).all()
  for number in (0, 7, 100):
    ids, label = lists.ids[number], lists.label[number]
    again = dark.make_dark(
      passages[int(ids[label.argmax()])][:most],
      [passages[int(i)][:most] for i in ids[~label & (ids >= 0)]],
      job.stage,
      tokens.special.mask,
      np.random.default_rng((job.seed, number)),
    )
    found = [text[text >= 0] for text in made.ids[number]]
    assert [x.tolist() for x in again] == [x.tolist() for x in found if len(x)]
  score = made.score[~np.isnan(made.score)]
  assert np.isfinite(score).all() and score.std() > 0


@pytest.mark.long
def test_clusters_gather_queries_that_are_near(workdir):
  work = workdir("baselines")
  cluster_Q = np.load(folder(work, "cluster") / "clusters.npy")
  query_QD = np.load(folder(work, "encode_student_warm") / "queries-train.npy")
  assert cluster_Q.shape == (len(query_QD),)
  centre_KD = np.stack(
    [query_QD[cluster_Q == k].mean(axis=0) for k in np.unique(cluster_Q)]
  )
  far = ((query_QD[:, None] - centre_KD) ** 2).sum(axis=-1)
  nearest = np.unique(cluster_Q)[far.argmin(axis=1)]
  assert (nearest == cluster_Q).mean() > 0.9


@pytest.mark.parametrize(
  ("name", "argument", "message"),
  [
    ("lead", "lead_ce.settings.layers=3", "needs 3 layers of the student"),
    ("lead", "lead_ce.settings.in_batch=True", "own list"),
    ("lead", "lead_ce.teacher=", "joint needs a teacher"),
    ("cl_drd", "cl_drd_1.sampling_settings.sizes=(9,9,9)", "do not fit"),
    ("cl_drd", "cl_drd_1.scores=encode_teacher_de", "set scores to a score"),
    ("cl_drd", "cl_drd_1.sampling=random", "sampling_settings has no key "),
    ("pair_distill", "pair_distill.pairs=", "needs a pairwise teacher"),
    ("pair_distill", "compare.params=ce", "one of kind pairwise"),
    ("pair_distill", "compare.candidates=mine_wide", "scored the lists of"),
    ("adam", "adam.dark=", "set scores to a score stage and dark"),
    ("adam", "darken.mask_rate=1.0", "above 0 and below 1"),
    ("adam", "adam.settings.over=0", "over is 0"),
    ("baselines", "tas.clusters=ce", "takes one of kind cluster"),
    ("baselines", "tas.sampling_settings.bins=0", "bins is 0"),
    ("baselines", "rocketqa_v2.joint=False", "set teacher and joint"),
    ("baselines", "none.anchor=start", "has no use for the stage's anchor"),
    ("prod_options", "prod_simans.candidates=", "draws from lists"),
    ("prod_options", "prod_larger.second=", "go together"),
    ("prod_options", "prod_larger.scores=score_lists", "goes with a dual-enc"),
    ("prod_options", "encode_prod_late.params=late", "one of kind dual"),
  ],
)
def test_what_does_not_go_together_is_refused(
  tmp_path, name, argument, message
):
  path = str(REPO / "configs" / f"{name}.py:runlocal")
  overrides = [f"data.data_dir={CACHE / 'data'}", f"stages.{argument}"]
  with pytest.raises(strict.ConfigError, match=message):
    run = Run(config_file.load(path, overrides), Processes(tmp_path))
    curriculum.plan(main.build(run), run.processes)
    main.check(run)
