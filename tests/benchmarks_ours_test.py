"""Our sides of benchmarks/ call what a run calls, on a handful of texts."""

import numpy as np
import pytest

from benchmarks import ours, ours_train, side, texts
from prod_jax import packaged
from prod_jax.batches.lists import Candidates, load_lists


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
  """A folder with 64 passages, and 8 queries that each find one of them."""
  try:
    packaged.model_folder()
  except ModuleNotFoundError as error:
    pytest.skip(str(error))
  cache = tmp_path_factory.mktemp("cache")
  passages = {f"p{i}": f"passage number {i}" for i in range(64)}
  queries = [(f"q{i}", f"which is number {i}", [f"p{i}"]) for i in range(8)]
  texts.write(cache / "texts", passages, queries)
  return cache


@pytest.mark.long
def test_a_run_of_a_benchmark_encodes_mines_and_learns(cache):
  run = ours.run_of(cache, candidates=4, layers=(0,))
  encoded = ours.encode_all(run, ours.write_params(run))
  mined = ours.mine(run, encoded, run.workdir / "mined")
  assert mined.shape == (8, side.NEGATIVES)
  # A step learns from lists and scores that lie where `prepare` leaves them.
  (run.workdir / "mined").rename(cache / "lists")
  lists = load_lists(Candidates, cache / "lists" / "candidates")
  (cache / "scores").mkdir()
  np.save(cache / "scores" / "scores.npy", lists.score)
  job = ours_train.job_of(run, cache)
  student = ours_train.Student(job)
  student.fit(ours_train.batches_of(job, ours_train.examples_of(job)), 1)
  assert student.last_metrics()["step"] == 1


def test_what_is_measured_alone_embeds_and_scores(cache):
  run = ours.run_of(cache, layers=(0,))
  store = ours.store_of(run, ["one text", "and another"], cache / "store")
  seen = []
  with ours.counting(seen):
    vectors = ours.embedder(ours.dual(run), store)()
  np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
  (tokens, places), *_ = seen
  assert tokens == 8 <= places  # two words, [CLS] and [SEP] each
