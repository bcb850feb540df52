"""Two teachers as one, what is measured of them, and what they divide."""

import dataclasses

import numpy as np
import pytest

from prod_jax import kinds, main, metrics, stages, strict
from prod_jax.batches.lists import save_lists
from prod_jax.retrieval import encode, runs
from prod_jax.stages import sources
from prod_jax.stages.run import Run
from tests.stages.denoise_test import LISTS, run_of

__all__ = ["run_of"]  # a fixture
NAN = np.nan
WIDTH = 4
SPLITS = ("train", "test")
GATE = kinds.Gate(
  kind="gate",
  encoded="encode",
  teacher="ce",
  depth=10,
  split="test",
  ensemble="encode",
)


@pytest.fixture
def run(run_of):
  """A run with scores of a cross-encoder and of an ensemble."""
  found = run_of()
  of_lists = dict(kind="score", params="ce", candidates="mine")
  reranks = dict(kind="evaluate", encoded="encode", rerank="ce", rerank_depth=6)
  added = {
    "encode": kinds.Encode(kind="encode", params="start", splits=SPLITS),
    "both": kinds.Score(**of_lists, ensemble="encode"),
    "divide": kinds.Divide(
      kind="divide", scores="both", candidates="mine", confidence=0.75
    ),
    "evaluate_ce": kinds.Evaluate(**reranks),
    "evaluate_both": kinds.Evaluate(**reranks, ensemble="encode"),
    "gate": GATE,
  }
  return with_stages(found, added)


def with_stages(run, changed):
  stages = {**run.config.stages, **changed}
  return Run(dataclasses.replace(run.config, stages=stages), run.processes)


def made(run, name):
  job = stages.job_of(run, name)
  job.folder.mkdir(parents=True, exist_ok=True)
  return stages.kind_of(job).run(job), job.folder


def embed(run):
  """What the dual encoder makes of queries and passages; returns both."""
  rng = np.random.default_rng(0)
  folder = run.folder("encode")
  passages = rng.normal(size=(120, WIDTH)).astype(np.float32)
  encode.encode_passages(
    folder / "passages",
    lambda start, stop, _: passages[start:stop],
    120,
    120,
    processes=run.processes,
    name="toy",
  )
  of_split = {}
  for split, count in (("train", 64), ("test", 32)):
    of_split[split] = rng.normal(size=(count, WIDTH)).astype(np.float32)
    np.save(folder / f"queries-{split}.npy", of_split[split])
  return of_split, passages


def test_of_an_ensemble_the_mean_is_stored_by_list(run):
  made(run, "ce")
  queries, passages = embed(run)
  save_lists(LISTS, run.folder("mine") / "candidates")
  of_ce, of_both = (
    np.load(made(run, name)[1] / "scores.npy") for name in ("score", "both")
  )
  products = queries["train"][LISTS.query] @ passages.T
  ids = np.maximum(LISTS.ids, 0)
  wanted = np.where(
    LISTS.ids >= 0, np.take_along_axis(products, ids, axis=1), NAN
  )
  assert np.nanstd(wanted) > 0.5
  np.testing.assert_allclose(2 * of_both - of_ce, wanted, rtol=1e-4, atol=1e-5)


def test_the_teachers_first_is_a_share_of_lists_with_labels(run, monkeypatch):
  save_lists(LISTS, run.folder("mine") / "candidates")
  monkeypatch.setattr(
    stages.score.rerank,
    "score_lists",
    lambda model, queries, passages, rows, ids, pieces: np.where(
      ids >= 0, LISTS.label, NAN
    ).astype(np.float32),
  )
  made(run, "ce")
  assert made(run, "score")[0]["first"] == 1
  # Of passages that nobody ranked a teacher's rank is not known.
  unranked = LISTS._replace(rank=np.full_like(LISTS.rank, -1))
  save_lists(unranked, run.folder("mine") / "candidates")
  assert "first" not in made(run, "score")[0]
  with pytest.raises(strict.ConfigError, match="have no order, for nothing"):
    made(run, "divide")


def test_an_ensemble_is_measured_beside_its_model(run):
  made(run, "ce")
  embed(run)
  (alone, _), (both, folder) = (
    made(run, name) for name in ("evaluate_ce", "evaluate_both")
  )
  assert {row["model_stage"] for row in alone["results"]} == {"ce"}
  assert {row["model_stage"] for row in both["results"]} == {"ce+encode"}
  values = metrics.evaluate(
    runs.read_run(folder / "run.trec"), run.dataset.qrels("test"), ["mrr@10"]
  )
  assert both["mrr@10"] == round(metrics.mean(values["mrr@10"]), 4)
  assert both["mrr@10"] != alone["mrr@10"]


def test_a_gate_asks_both_together(run, monkeypatch):
  """With a model that says nothing, the order is the dual encoder's."""
  made(run, "ce")
  embed(run)
  both, _ = made(run, "gate")
  assert both["why"].startswith("ce+encode does not teach")
  more = {"alone": dataclasses.replace(GATE, ensemble=""), "silent": GATE}
  run = with_stages(run, more)
  assert made(run, "alone")[0]["teacher"] != both["teacher"]
  monkeypatch.setattr(
    stages.gate.rerank, "score_lists", lambda *lists: 0.0 * lists[4]
  )
  silent, _ = made(run, "silent")
  assert silent["teacher"] == silent["student"]


def test_both_are_named_where_their_scores_teach(run):
  assert sources.judge(run, "both") == "ce+encode"
  assert sources.judge(run, "score") == "ce"


def test_an_ensemble_has_the_splits_queries_and_a_reranker(run):
  main.check(run)
  measured = run.config.stages["evaluate_both"]
  bare = {"evaluate_both": dataclasses.replace(measured, rerank="")}
  with pytest.raises(
    strict.ConfigError, match=r"both\.ensemble is one with a rerank"
  ):
    main.check(with_stages(run, bare))
  vectors = {"gate": dataclasses.replace(GATE, teacher="encode")}
  wanted = "gate.ensemble is one with a teacher that reads pairs"
  with pytest.raises(strict.ConfigError, match=wanted):
    main.check(with_stages(run, vectors))
  of_train = kinds.Encode(kind="encode", params="start", splits=("train",))
  other = dict(
    other=of_train,
    evaluate_more=dataclasses.replace(measured, ensemble="other"),
  )
  wanted = "reads split 'test', but other encodes train"
  with pytest.raises(strict.ConfigError, match=wanted):
    main.check(with_stages(run, other))


@pytest.mark.parametrize(
  ("rule", "last", "lists", "kept"),
  [
    ("marco", 14, "mine", True),
    ("marco", 5, "mine", True),  # no list has a rank behind it
    ("marco", 4, "mine", False),
    ("nq", 14, "mine", False),
    ("marco", 14, "imported", False),
  ],
)
def test_a_division_keeps_none_of_the_lists_that_were_left_out(
  run, tmp_path, rule, last, lists, kept
):
  stages = dict(run.config.stages)
  mine, divide = stages["mine"], stages.pop("divide")
  (tmp_path / "scores.tsv").write_text("q1\tp1\t1\n")
  path = str(tmp_path / "scores.tsv")
  stages |= dict(
    mine=dataclasses.replace(mine, positive_from=1, positive_to=last),
    imported=kinds.Imported("imported", path, candidates="mine"),
    divide=dataclasses.replace(
      divide,
      rule=rule,
      candidates=lists,
      scores="both" if lists == "mine" else "imported",
    ),
  )
  run = Run(dataclasses.replace(run.config, stages=stages), run.processes)
  if kept:
    main.check(run)
    return
  fault = f"positive_from=1 and positive_to={last}"
  with pytest.raises(strict.ConfigError, match=fault):
    main.check(run)


@pytest.mark.parametrize(("first", "kept"), [(5.0, [4, 8]), (0.5, [4])])
def test_a_query_without_labels_stays_where_the_teacher_is_sure(
  run, first, kept
):
  """Query 4 has a label, query 8 has none: the student's second is right."""
  save_lists(LISTS, run.folder("mine") / "candidates")
  scores = np.array(
    [[0, 0.1, 0, 0], [9, 0, 0, 0], [0, first, NAN, NAN], [1, NAN, NAN, NAN]],
    np.float32,
  )
  run.folder("both").mkdir()
  np.save(run.folder("both") / "scores.npy", scores)
  summary, folder = made(run, "divide")
  assert np.load(folder / "queries.npy").tolist() == kept
  assert summary["teacher_first"] == 3  # of the lists with labels
