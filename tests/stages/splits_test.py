"""Which splits a set has to have for the stages of a config."""

import dataclasses

import pytest

from prod_jax import config, kinds, strict
from prod_jax.sets.dataset import Dataset
from prod_jax.sets.records import Query
from prod_jax.stages import splits

ENCODE = kinds.Encode(kind="encode", params="student")
MINE = kinds.Mine(kind="mine", encoded="encode", depth=4)


def check(has: str, path: str = "", **stages: kinds.Stage) -> None:
  """Checks a config against a set with these splits."""
  dataset = object.__new__(Dataset)  # no more of it is looked at
  queries = {split: [] for split in has.split()}
  dataset.__dict__.update(name="toy", queries=queries)
  data = config.Data(name="folder", path=path)
  made = {"encode": ENCODE, "mine": MINE, **stages}
  splits.check(config.Config(0, data, config.Mesh(), {}, made), dataset)


def refused(has: str, path: str = "", **stages: kinds.Stage) -> str:
  with pytest.raises(strict.ConfigError) as error:
    check(has, path, **stages)
  return str(error.value)


def test_a_split_that_no_stage_reads_may_be_missing():
  check("train")
  check("train test")


def test_who_reads_a_missing_split_is_named():
  evaluate = kinds.Evaluate(kind="evaluate", encoded="encode", split="dev")
  gate = kinds.Gate(kind="gate", encoded="encode", teacher="ce", depth=4)
  said = refused("train test", evaluate=evaluate)
  assert said == (
    "config.stages.encode.splits asks for 'dev', and toy has train, test; add "
    "its files, for evaluate"
  )
  more = {f"gate_{i}": gate for i in range(3)}
  said = refused("train test", evaluate=evaluate, **more)
  assert said.endswith("its files, for evaluate, gate_0 and 2 more")


def test_what_is_no_split_of_any_set_is_left_out_by_the_line_that_is_said():
  encode = dataclasses.replace(ENCODE, splits=("train", "tset"))
  said = refused("train", encode=encode)
  assert said.endswith(
    """leave it out: "--config.stages.encode.splits=('train',)\""""
  )


def test_a_split_of_another_name_is_named(tmp_path):
  for name in ("queries.valid.tsv", "qrels.valid.tsv.gz", "queries.eval.tsv"):
    (tmp_path / name).touch()
  accept = kinds.Accept(kind="accept", encoded="encode", before="encode")
  said = refused("train", str(tmp_path), accept=accept)
  assert said.endswith(
    "for accept; queries.valid.tsv is not read, name it "
    "queries.dev.tsv; qrels.valid.tsv.gz is not read, name it "
    "qrels.dev.tsv.gz"
  )


@pytest.mark.parametrize(
  ("grades", "changes", "said"),
  [
    ([2, 1], dict(relevant=3), "no passage of split 'test' of toy has a grade"),
    ([2, 1], dict(relevant=2), ""),
    ([2, 1], dict(relevant=3, metrics=("ndcg@10", "ndcg")), ""),
    ([], {}, "none of its 1 queries in toy has a label to measure by"),
    ([], dict(relevance="answers"), ""),
  ],
)
def test_what_is_measured_is_in_the_labels(grades, changes, said):
  """Before anything is trained for it."""
  dataset = object.__new__(Dataset)  # no more of it is looked at
  positives = tuple((f"p{grade}", grade) for grade in grades)
  queries = {"test": [Query("q", "tea", positives)]}
  dataset.__dict__.update(name="toy", queries=queries, answers=str)
  stage = kinds.Evaluate(kind="evaluate", encoded="encode", **changes)
  stages = {"encode": ENCODE, "evaluate": stage}
  made = config.Config(0, config.Data(), config.Mesh(), {}, stages)
  if not said:
    splits.check(made, dataset)
    return
  with pytest.raises(strict.ConfigError, match=said):
    splits.check(made, dataset)
