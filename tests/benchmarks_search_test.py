"""faiss's approximate indices, as `benchmarks.search` sets them."""

import numpy as np
import pytest

from benchmarks import corpus, search


@pytest.mark.parametrize(
  ("side", "kind"),
  [
    ("faiss_ivf", "faiss IndexIVFFlat, nprobe "),
    ("faiss_hnsw", "faiss IndexHNSWFlat, efSearch "),
  ],
)
def test_an_index_looks_as_far_as_the_recall_asks(
  tmp_path, monkeypatch, side, kind
):
  pytest.importorskip("faiss")
  monkeypatch.setattr(search, "LEAST_SECONDS", 0.0)
  rng = np.random.default_rng(0)
  corpus.vectors(tmp_path, "passages").parent.mkdir()
  for of, rows in (("passages", 2000), ("queries", 50)):
    vectors = rng.normal(size=(rows, 16)).astype(np.float32)
    np.save(corpus.vectors(tmp_path, of), vectors)
  measured = search.SIDES[side](tmp_path)
  name, far = measured["kind"].rsplit(" ", 1)
  assert name + " " == kind and int(far) > 1
  assert search.RECALL <= measured["recall"] < 1
  monkeypatch.setattr(search, "FURTHEST", int(far) // 2)
  with pytest.raises(ValueError, match=f"{kind.split()[-1]} .*a recall of"):
    search.SIDES[side](tmp_path)
