"""Metrics against trec_eval's own output, pytrec_eval, and written formulas."""

import collections
import doctest
import math
import pathlib

import numpy as np
import pytest

from prod_jax import metrics

# Ours and trec_eval's names; success_k is the share of queries with any hit.
TREC_NAMES = {
  "map": "map",
  "map@10": "map_cut_10",
  "map@100": "map_cut_100",
  "mrr": "recip_rank",
  "ndcg": "ndcg",
  "ndcg@10": "ndcg_cut_10",
  "ndcg@100": "ndcg_cut_100",
  "recall@10": "recall_10",
  "recall@100": "recall_100",
  "hit@1": "success_1",
  "hit@10": "success_10",
}


def read(path: pathlib.Path, query: int, name: int, value: int, kind: type):
  table = collections.defaultdict(dict)
  for line in path.read_text().splitlines():
    columns = line.split()
    table[columns[query]][columns[name]] = kind(columns[value])
  return dict(table)


@pytest.fixture
def oracle(shared):
  folder = shared / "oracle" / "trec_eval"
  qrels = read(folder / "qrels.test", 0, 2, 3, int)
  run = read(folder / "results.test", 0, 2, 4, float)
  return folder, run, qrels


def test_each_query_has_the_value_that_trec_eval_printed(oracle):
  folder, run, qrels = oracle
  printed = read(folder / "out.test.aq", 1, 0, 2, str)
  ours = metrics.evaluate(run, qrels, list(TREC_NAMES))
  compared = 0
  for query in qrels:
    for name, trec_name in TREC_NAMES.items():
      if trec_name in printed[query]:
        expected = float(printed[query][trec_name])
        assert ours[name][query] == pytest.approx(expected, abs=5.1e-5), name
        compared += 1
  assert compared == 3 * len(TREC_NAMES)


def test_averages_are_those_that_trec_eval_printed(oracle):
  folder, run, qrels = oracle
  printed = read(folder / "out.test.a", 1, 0, 2, str)["all"]
  ours = metrics.evaluate(run, qrels, list(TREC_NAMES))
  for name, trec_name in TREC_NAMES.items():
    expected = float(printed[trec_name])
    assert metrics.mean(ours[name]) == pytest.approx(expected, abs=5.1e-5), name


def test_trecs_deep_learning_qrels_count_all_judged_queries(shared):
  for year, queries in ((19, 43), (20, 54)):
    file = shared / "oracle" / "trec_dl" / f"qrels.dl{year}-passage.txt"
    qrels = read(file, 0, 2, 3, int)
    best = read(file, 0, 2, 3, float)
    values = metrics.evaluate(
      best, qrels, ["ndcg@10", "map", "recall@1000"], relevant=2
    )
    assert [len(v) for v in values.values()] == [queries] * 3
    assert [metrics.mean(v) for v in values.values()] == [1.0] * 3


@pytest.mark.parametrize("relevant", [1, 2])
def test_random_runs_have_the_values_of_pytrec_eval(relevant):
  pytrec_eval = pytest.importorskip(
    "pytrec_eval", reason="pip install pytrec-eval-terrier to compare with it"
  )
  rng = np.random.default_rng(0)
  run, qrels = {}, {}
  for query in range(400):
    names = rng.permutation(300)
    retrieved = names[: rng.integers(1, 200)]
    judged = rng.choice(300, rng.integers(1, 60), replace=False)
    # Few distinct scores, so that most are tied.
    scores = rng.integers(-3, 4, len(retrieved)) / 3
    run[str(query)] = dict(
      zip(map("d{}".format, retrieved), scores.tolist(), strict=True)
    )
    grades = rng.integers(-2, 4, len(judged)).tolist()
    grades[0] = 3
    qrels[str(query)] = dict(
      zip(map("d{}".format, judged), grades, strict=True)
    )
  theirs = pytrec_eval.RelevanceEvaluator(
    qrels, set(TREC_NAMES.values()), relevance_level=relevant
  ).evaluate(run)
  ours = metrics.evaluate(run, qrels, list(TREC_NAMES), relevant=relevant)
  for name, trec_name in TREC_NAMES.items():
    assert list(ours[name]) == list(qrels)
    np.testing.assert_allclose(
      list(ours[name].values()),
      [theirs[query][trec_name] for query in qrels],
      atol=1e-6,
      err_msg=name,
    )


def ranked(text: str) -> dict[str, dict[str, float]]:
  """A run of the query q that ranks the letters of `text` in their order."""
  return {"q": {letter: -float(i) for i, letter in enumerate(text)}}


@pytest.mark.parametrize(
  ("metric", "value"),
  [
    ("mrr", 1 / 2),
    ("mrr@1", 0),
    ("mrr@2", 1 / 2),
    ("hit@1", 0),
    ("hit@2", 1),
    ("recall@1", 0),
    ("recall@4", 2 / 3),
    ("recall", 2 / 3),
    ("map", (1 / 2 + 2 / 4) / 3),
    ("map@3", (1 / 2) / 3),
    (
      "ndcg",
      (1 / math.log2(3) + 3 / math.log2(5))
      / (3 + 2 / math.log2(3) + 1 / math.log2(4)),
    ),
    ("ndcg@2", (1 / math.log2(3)) / (3 + 2 / math.log2(3))),
  ],
)
def test_a_ranking_by_hand(metric, value):
  qrels = {"q": {"a": 1, "b": 3, "c": 2, "x": 0}}
  found = metrics.evaluate(ranked("xayb"), qrels, [metric])
  assert found[metric]["q"] == pytest.approx(value)


def test_any_hit_is_not_recall():
  """METHODS 1: two labelled passages, one of them at rank 3."""
  qrels = {"q": {"a": 1, "b": 1}}
  found = metrics.evaluate(ranked("xyaz"), qrels, ["hit@5", "recall@5"])
  assert found == {"hit@5": {"q": 1.0}, "recall@5": {"q": 0.5}}


def test_grades_below_relevant_do_not_count_but_gain():
  qrels = {"q": {"a": 1, "b": 2}}
  names = ["mrr", "recall@1", "ndcg@1"]
  found = metrics.evaluate(ranked("ab"), qrels, names, relevant=2)
  assert [found[name]["q"] for name in names] == [1 / 2, 0, 1 / 2]


def test_equal_scores_go_from_z_to_a():
  run = {"q": {"a": 1.0, "c": 1.0, "b": 1.0}}
  values = {
    name: metrics.evaluate(run, {"q": {name: 1}}, ["mrr"])["mrr"]["q"]
    for name in "abc"
  }
  assert values == {"a": 1 / 3, "b": 1 / 2, "c": 1}


def test_scores_that_are_one_float32_are_equal():
  run = {"q": {"a": 1.0 + 1e-9, "b": 1.0}}
  assert metrics.evaluate(run, {"q": {"b": 1}}, ["mrr@1"])["mrr@1"]["q"] == 1


def test_every_query_with_something_to_find_counts():
  qrels = {"q": {"a": 1}, "lost": {"a": 1}, "void": {"a": 0}, "none": {}}
  values = metrics.evaluate({**ranked("a"), "new": {"a": 1.0}}, qrels, ["mrr"])
  assert values == {"mrr": {"q": 1.0, "lost": 0.0}}
  assert metrics.mean(values["mrr"]) == 0.5
  ours = metrics.evaluate({}, qrels, ["ndcg@10", "map"])
  nothing = {"q": 0.0, "lost": 0.0}
  assert ours == {"ndcg@10": nothing, "map": nothing}


@pytest.mark.parametrize("relevant", [1, 2])
def test_the_recipe_for_trec_evals_averages_gives_them(relevant):
  """Queries that lack passages of the grade, the run, or judgements."""
  pytrec_eval = pytest.importorskip(
    "pytrec_eval", reason="pip install pytrec-eval-terrier to compare with it"
  )
  qrels = {
    "found": {"a": 2, "b": 1},
    "one": {"a": 1},
    "void": {"a": 0},
    "spam": {"a": -1},
    "lost": {"a": 2},
  }
  queries = ["found", "one", "void", "spam", "unjudged"]
  run = {query: {"a": 2.0, "x": 1.0} for query in queries}
  theirs = pytrec_eval.RelevanceEvaluator(
    qrels, set(TREC_NAMES.values()), relevance_level=relevant
  ).evaluate(run)
  assert len(theirs) == 4
  judged = {query: qrels[query] for query in run if query in qrels}
  ours = metrics.evaluate(run, judged, list(TREC_NAMES), relevant=relevant)
  for name, trec_name in TREC_NAMES.items():
    average = sum(ours[name].values()) / len(judged)
    expected = np.mean([values[trec_name] for values in theirs.values()])
    assert average == pytest.approx(expected, abs=1e-6), name
    assert metrics.mean(ours[name]) > average  # which leaves out the void ones


def test_the_example_of_the_module_runs():
  found = doctest.testmod(metrics)
  assert found.attempted == 4 and not found.failed


def test_ndcg_and_binary_metrics_may_know_different_queries():
  values = metrics.evaluate(
    ranked("a"), {"q": {"a": 1}}, ["ndcg@10", "mrr"], relevant=2
  )
  assert values == {"ndcg@10": {"q": 1.0}, "mrr": {}}


@pytest.mark.parametrize(
  "name", ["mrr@", "mrr@0", "mrr@-1", "MRR@10", "recip_rank", "recall_5", ""]
)
def test_an_unknown_metric_is_named_with_the_known_ones(name):
  with pytest.raises(ValueError, match=r"known: mrr, ndcg, map, recall, hit"):
    metrics.evaluate({}, {}, [name])


def test_grade_0_cannot_be_relevant():
  with pytest.raises(ValueError, match="relevant is 0"):
    metrics.evaluate({}, {}, ["mrr"], relevant=0)


def test_there_is_no_average_over_no_query():
  with pytest.raises(ValueError, match="no query to average over"):
    metrics.mean({})
