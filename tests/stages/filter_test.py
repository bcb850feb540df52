"""Which generated queries a ranker finds their passage by, and the others."""

import dataclasses
import json

import numpy as np
import pytest

from prod_jax import kinds, main, packaged, stages, strict
from prod_jax.batches.lists import Candidates, load_lists, save_lists
from prod_jax.processes import Processes
from prod_jax.retrieval.filter import own_columns, places
from prod_jax.stages import sources
from prod_jax.stages.run import Run
from tests.main_test import write_folder
from tests.stages.denoise_test import config_of

NAN = np.nan
# Of train: q0 has a label, and behind q63 stand three generated queries, made
# of p10, of p20 and p21, and of p30; the last was not retrieved.
LISTS = Candidates(
  query=np.array([0, 64, 65, 66], np.int32),
  ids=np.array([[0, 5, 6], [11, 10, 12], [22, 21, 20], [31, 32, -1]], np.int32),
  label=np.array([[1, 0, 0], [0] * 3, [0] * 3, [0] * 3], bool),
  rank=np.array([[0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, -1]], np.int32),
  score=np.array([[9, 8, 7], [9, 8, 7], [9, 8, 7], [9, 8, NAN]], np.float32),
)
SCORES = np.array([[1, 2, 3], [2, 3, 1], [3, 1, 2], [2, 1, NAN]], np.float32)
OWN = {64: (10,), 65: (20, 21), 66: (30,)}


def test_the_place_of_what_a_query_was_made_of():
  own_QC = own_columns(LISTS, OWN)
  assert own_QC.tolist() == [
    [False] * 3,
    [False, True, False],
    [False, True, True],
    [False] * 3,
  ]
  # As it was retrieved; then in the teacher's order, the best of two.
  assert places(LISTS, None, own_QC).tolist() == [-1, 1, 1, -1]
  assert places(LISTS, SCORES, own_QC).tolist() == [-1, 0, 1, -1]


@pytest.fixture
def run_of(tmp_path):
  """A function that makes the run of a config with a filter stage."""
  try:
    packaged.model_folder()
  except ModuleNotFoundError as error:
    pytest.skip(str(error))
  folder = write_folder(tmp_path / "set")
  made = [("a", ["p10"]), ("b", ["p20", "p21"]), ("c", ["p30"])]
  (folder / "queries.generated.jsonl").write_text(
    "".join(
      json.dumps({"_id": name, "query": "x", "doc_ids": of}) + "\n"
      for name, of in made
    )
  )

  def run(queries="all", **changes):
    config = config_of(folder)
    described = {**config.stages}
    del described["denoise"], described["student"]
    described["mine"] = dataclasses.replace(
      described["mine"], queries=queries, depth=3
    )
    stage = dict(candidates="mine", scores="score") | changes
    described["filter"] = kinds.Filter(kind="filter", **stage)
    # Its kept queries are divided, scored again and learnt from.
    both = dict(candidates="filter", scores="filter")
    described["divide"] = kinds.Divide(kind="divide", **both)
    config = dataclasses.replace(
      config,
      data=dataclasses.replace(config.data, max_queries={}),
      stages=described,
    )
    return Run(config, Processes(tmp_path / "work"))

  return run


@pytest.fixture
def judged(run_of):
  """A function that filters the lists above."""

  def made(lists=LISTS, **changes):
    job = stages.job_of(run_of(**changes), "filter")
    job.folder.mkdir(parents=True)
    for role, name in (("candidates", "mine"), ("scores", "score")):
      folder = job.run.folder(name)
      folder.mkdir(exist_ok=True)
      if role == "candidates":
        save_lists(lists, folder / "candidates")
      else:
        np.save(folder / "scores.npy", SCORES)
    return stages.kind_of(job).run(job), job.folder

  return made


def test_a_teacher_keeps_what_it_has_first(judged, caplog):
  with caplog.at_level("INFO", logger="absl"):
    summary, folder = judged()
  left = load_lists(Candidates, folder / "candidates")
  assert left.query.tolist() == [0, 64]
  assert left.label.tolist() == [[True, False, False], [False, True, False]]
  assert left.ids.tolist() == LISTS.ids[:2].tolist()
  assert np.load(folder / "scores.npy").tolist() == SCORES[:2].tolist()
  why = (
    "keeps 1 of 3 generated queries, whose own passage ce has first; 1 have it "
    "further down, 1 not in their list"
  )
  assert summary == {
    "queries": 2,
    "generated": 3,
    "kept": 1,
    "further_down": 1,
    "not_retrieved": 1,
    "others": 1,
    "why": why,
  }
  assert f"filter: {why}" in caplog.messages
  lines = (folder / "generated.jsonl").read_text().splitlines()
  assert [json.loads(line) for line in lines] == [
    dict(query_id="a", passage_ids=["p10"], place=0, kept=True),
    dict(query_id="b", passage_ids=["p20", "p21"], place=1, kept=False),
    dict(query_id="c", passage_ids=["p30"], place=None, kept=False),
  ]


def test_more_places_and_the_retrievers_order(judged):
  summary, folder = judged(scores="", top=2)
  left = load_lists(Candidates, folder / "candidates")
  assert left.query.tolist() == [0, 64, 65]
  assert left.label[2].tolist() == [False, True, True]
  assert not (folder / "scores.npy").exists()
  assert "the retriever has among the first 2" in summary["why"]


def test_lists_without_an_order_are_not_gone_by(judged):
  """As of a file without scores: passages are there, and no rank."""
  rank = LISTS.rank.copy()
  rank[2:] = -1
  with pytest.raises(strict.ConfigError, match=r"2 lists of mine .* no order"):
    judged(LISTS._replace(rank=rank), scores="")


def test_what_is_kept_may_stay_without_a_label(judged):
  _, folder = judged(label=False)
  left = load_lists(Candidates, folder / "candidates")
  assert left.query.tolist() == [0, 64]
  assert left.label.tolist() == LISTS.label[:2].tolist()


@pytest.mark.parametrize("title", ["the same", "other title"])
def test_another_passage_that_reads_the_same_will_do(
  judged, run_of, tmp_path, title
):
  folder = tmp_path / "set" / "collection.tsv"
  lines = folder.read_text().splitlines()
  _, own, text = lines[30].split("\t")
  lines[31] = f"p31\t{own if title == 'the same' else title}\t{text}"
  folder.write_text("\n".join(lines) + "\n")
  summary, left = judged()
  if title == "other title":  # it may be about something else
    assert summary["kept"] == 1 and summary["not_retrieved"] == 1
    return
  assert summary["kept"] == 2 and summary["not_retrieved"] == 0
  lists = load_lists(Candidates, left / "candidates")
  assert lists.label[-1].tolist() == [True, False, False]


def test_nothing_to_filter_and_nothing_left(judged, tmp_path):
  wrong = LISTS._replace(query=np.arange(4, dtype=np.int32))
  with pytest.raises(strict.ConfigError, match=r"none of the 4 lists .* has 3"):
    judged(wrong)
  missed = LISTS._replace(ids=np.where(LISTS.ids == 10, 13, LISTS.ids))
  (tmp_path / "work").rename(tmp_path / "before")
  with pytest.raises(strict.ConfigError, match=r"keeps 0 of 3 .* raise config"):
    judged(missed)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (dict(queries="labelled"), "mine has lists of queries with labels"),
    (dict(candidates="encode"), "a stage of kind encode; it takes one of kind"),
    (dict(scores=""), "which goes by the retriever's order and has no"),
  ],
)
def test_what_cannot_be_is_refused_with_its_key(run_of, changes, message):
  with pytest.raises(strict.ConfigError, match=message):
    main.check(run_of(**changes))


@pytest.mark.parametrize(
  ("changes", "queries"),
  [
    (dict(queries="unlabelled"), "all"),
    (dict(queries="unlabelled", label=False), "unlabelled"),
    (dict(), "all"),
  ],
)
def test_what_reads_filtered_lists_knows_their_queries(
  run_of, changes, queries
):
  run = run_of(**changes)
  main.check(run)
  assert sources.queries_of(stages.job_of(run, "divide")) == queries
  assert sources.judge(run, "filter") == "ce"


def test_lists_that_were_cut_are_not_divided_behind_a_filter(run_of):
  run = run_of()
  mine = dataclasses.replace(run.config.stages["mine"], negatives=2)
  config = dataclasses.replace(
    run.config, stages={**run.config.stages, "mine": mine}
  )
  with pytest.raises(strict.ConfigError, match="takes the whole lists"):
    main.check(Run(config, run.processes))
