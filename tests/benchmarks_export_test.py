"""The export's benchmark: our graphs, and the loop over tokens of both."""

import types

import numpy as np
import pytest

from benchmarks import export, texts
from prod_jax import packaged


def test_hidden_states_of_a_peers_graph_become_unit_means():
  ids, mask = export.padded([np.array([5, 6, 7]), np.array([8])])
  assert ids.tolist() == [[5, 6, 7], [8, 0, 0]]
  assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
  hidden = np.array(
    [[[3, 0], [0, 4], [0, 0]], [[0, 2], [9, 9], [9, 9]]], np.float32
  )
  made = export.unit_means(hidden, mask)
  np.testing.assert_allclose(made, [[0.6, 0.8], [0, 1]], rtol=1e-6)


def test_vectors_of_batches_come_in_the_order_of_the_texts(monkeypatch):
  class Session:
    """A graph whose vectors are the first ids."""

    def get_outputs(self):
      return [types.SimpleNamespace(name="sentence_embedding")]

    def run(self, outputs, feed):
      assert outputs == ["sentence_embedding"]
      assert not feed["token_type_ids"].any()
      return [feed["input_ids"][:, :1]]

  monkeypatch.setattr(export, "BATCH", 2)
  rows = [np.arange(i, i + size) for i, size in ((1, 9), (2, 3), (3, 6))]
  assert export.embed(Session(), rows).tolist() == [[1], [2], [3]]


def test_an_exported_student_is_run_from_the_tokens_of_its_texts(tmp_path):
  for name in ("onnx", "onnxruntime"):
    pytest.importorskip(name, reason="it comes with the extra: onnx")
  try:
    packaged.model_folder()
  except ModuleNotFoundError as error:
    pytest.skip(str(error))
  from benchmarks import ours_export

  texts.write(tmp_path / "texts", {"p": "a passage"}, [("q", "a", ["p"])])
  found = ["one text", "and another, which is longer"]
  folder = tmp_path / export.FOLDER
  ours_export.write(tmp_path, folder / export.OURS)
  vectors = ours_export.embedder(tmp_path, found)()
  np.save(folder / export.TORCH, vectors)
  np.savez(folder / export.TOKENS, **ours_export.tokens(tmp_path, found))
  measured = export.graph(export.OURS, export.FLOAT, tmp_path)
  assert measured["difference"] < 1e-5
  small = export.graph(export.OURS, export.INT8, tmp_path)
  assert 1e-5 < small["difference"] < 0.1
  assert small["bytes"] < measured["bytes"] / 3
