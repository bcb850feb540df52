"""The commands: what they write, what they refuse, and where things go."""

import dataclasses
import json
import os
import pathlib

import numpy as np
import pytest

from prod_jax import packaged, run_files, strict
from prod_jax.export import card, finished, folder, lineage, vectors, whole
from prod_jax.models import hf
from prod_jax.retrieval import encode
from prod_jax.sets.records import Passage
from tests import commands


def export(workdir, to, *more, stage="student"):
  return commands.run(
    "prod_jax.cli.export",
    f"--workdir={workdir}",
    f"--stage={stage}",
    f"--to={to}",
    *more,
  )


def options(to, **more):
  return whole.Options(to=to, where=card.Where(to.name), **more)


def read(path):
  return json.loads(path.read_text())


def test_an_export_has_a_card_and_hashes(finished_run, tmp_path):
  to = tmp_path / "für 研究" / "der Schüler"
  done = export(finished_run, to, "--json")
  assert done.returncode == 0, done.stderr[-3000:]
  told = {"stage": "student", "hub": None, "measured": None}
  assert json.loads(done.stdout) == {"folder": str(to), **told}
  text = (to / "README.md").read_text()
  _, front, body = text.split("---\n", 2)
  said = dict(line.split(": ", 1) for line in front.splitlines())
  assert json.loads(said["pipeline_tag"]) == "sentence-similarity"
  assert json.loads(said["library_name"]) == "sentence-transformers"
  for stage in ("warm", "ce", "student"):
    assert f"| {stage} |" in body
  assert "| towers |" not in body  # it had no part in this one
  assert body.count("```python") == 4
  assert card.UNKNOWN in body
  assert "split dev, 8 queries" in body
  found = read(to / "provenance.json")
  assert found["seed"] == 7
  assert [s["name"] for s in found["stages"]] == ["warm", "ce", "student"]
  hashes = {s["name"]: s["hash"] for s in found["stages"]}
  done_file = read(finished_run / "04-student" / "DONE.json")
  assert hashes["student"] == done_file["hash"]
  state = run_files.done(finished_run / "04-student")["fingerprint"]["dataset"]
  assert found["dataset"]["fingerprint"] == state
  weights = packaged.sha256(to / "model.safetensors")
  assert found["files"]["model.safetensors"] == weights
  assert "README.md" not in found["files"]  # its licence is filled in


def test_snippets_are_python_and_run(finished_run, tmp_path, monkeypatch):
  trained = finished.open_stage(finished_run, "student")
  whole.export(trained, options(tmp_path / "student"))
  text = (tmp_path / "student" / "README.md").read_text()
  codes = [part.split("```")[0] for part in text.split("```python\n")[1:]]
  for code in codes:
    compile(code, "README.md", "exec")
  pytest.importorskip(
    "sentence_transformers", reason="needs torch, which is not in the lock"
  )
  monkeypatch.chdir(tmp_path)
  scores = []
  for code in codes[:2]:
    names = {}
    exec(code, names)
    scores.append(np.asarray(names["scores"])[:, :1])
  np.testing.assert_allclose(*scores, atol=1e-5)


def test_a_card_on_a_hub_names_files_once_they_are_fetched(
  finished_run, tmp_path
):
  """An id names no tower in a folder, nor a graph."""
  trained = finished.open_stage(finished_run, "towers")
  where = card.Where("org/two", is_id=True)
  sent = dataclasses.replace(options(tmp_path / "out"), where=where)
  whole.export(trained, sent)
  text = (tmp_path / "out" / "README.md").read_text()
  assert "`hf download org/two --local-dir two`" in text
  assert "'two/query'" in text and "'two/passage'" in text
  assert "'org/two" not in text
  trained = finished.open_stage(finished_run, "student")
  whole.export(trained, dataclasses.replace(sent, to=tmp_path / "one"))
  text = (tmp_path / "one" / "README.md").read_text()
  assert "SentenceTransformer('org/two')" in text and "hf download" not in text


def test_snippets_of_an_index_and_of_chains(
  finished_run, tmp_path, monkeypatch
):
  for name in ("sentence_transformers", "faiss", "langchain_huggingface"):
    pytest.importorskip(name, reason="it is not in the lock")
  trained = finished.open_stage(finished_run, "student")
  whole.export(trained, options(tmp_path / "student"))
  text = (tmp_path / "student" / "README.md").read_text()
  codes = [part.split("```")[0] for part in text.split("```python\n")[1:]]
  monkeypatch.chdir(tmp_path)
  own = {}
  exec(codes[0], own)
  (index,) = (code for code in codes if "faiss" in code)
  exec(index, own)
  rows = np.argsort(-own["queries"] @ own["passages"].T)[:, :2]
  np.testing.assert_array_equal(own["rows"][:, : rows.shape[1]], rows)
  (chains,) = (code for code in codes if "langchain" in code)
  other = {}
  exec(chains, other)
  (query,) = np.asarray(own["queries"])
  np.testing.assert_allclose(other["vector"], query, atol=1e-5)
  np.testing.assert_allclose(other["vectors"][0], own["passages"][0], atol=1e-5)


@pytest.mark.parametrize(
  ("stage", "message"),
  [
    ("stduent", "'stduent' is no stage; train stages are: warm, towers, ce"),
    ("encode", "'encode' is of kind encode; train stages are: warm"),
    ("colbert", "a model of kind late"),
  ],
)
def test_what_cannot_be_exported_is_refused(
  finished_run, tmp_path, stage, message
):
  with pytest.raises(strict.ConfigError, match=message):
    trained = finished.open_stage(finished_run, stage)
    whole.export(trained, options(tmp_path / "out"))
  assert not (tmp_path / "out").exists()


def test_a_refusal_is_a_line_and_exit_code_2(finished_run, tmp_path):
  done = export(finished_run, tmp_path / "out", stage="encode")
  assert done.returncode == 2
  assert "Traceback" not in done.stderr
  assert "--stage: 'encode' is of kind encode" in done.stderr


def test_an_unfinished_stage_is_refused(workdir):
  (workdir / "04-student" / "DONE.json").unlink()
  with pytest.raises(strict.ConfigError, match="has not ended"):
    finished.open_stage(workdir, "student")


def test_a_folder_without_a_run_is_refused(tmp_path):
  with pytest.raises(strict.ConfigError, match=r"there is no .*curriculum"):
    finished.open_stage(tmp_path, "student")


def test_only_an_export_is_replaced(finished_run, tmp_path):
  trained = finished.open_stage(finished_run, "warm")
  to = tmp_path / "out"
  to.mkdir()
  whole.export(trained, options(to))  # it was empty
  with pytest.raises(strict.ConfigError, match="--overwrite replaces"):
    whole.export(trained, options(to))
  whole.export(trained, options(to, overwrite=True))
  (to / whole.PROVENANCE).unlink()
  with pytest.raises(strict.ConfigError, match="is no export"):
    whole.export(trained, options(to, overwrite=True))


def test_what_others_put_beside_an_export_stays(finished_run, tmp_path, caplog):
  trained = finished.open_stage(finished_run, "warm")
  to = tmp_path / "out"
  whole.export(trained, options(to))
  fresh = (to / "README.md").read_text()
  caplog.set_level("INFO")
  # Files of theirs, and one of ours that the next export has not.
  (to / "mine").mkdir()
  (to / "mine" / "notes.txt").write_text("theirs")
  (to / "LICENSE").symlink_to("mine/notes.txt")
  said = read(to / whole.PROVENANCE)
  gone = to / "onnx" / "model.onnx"
  gone.parent.mkdir()
  gone.write_bytes(b"old")
  said["files"]["onnx/model.onnx"] = packaged.sha256(gone)
  (to / whole.PROVENANCE).write_text(json.dumps(said))
  (to / "README.md").write_text("---\nlicense: mit\n---\n")
  for _ in range(2):  # a card that was kept is kept again
    whole.export(trained, options(to, overwrite=True))
    assert (to / "README.md").read_text() == "---\nlicense: mit\n---\n"
  assert "README.md is not as an export wrote it, or an ea" in caplog.text
  assert (to / "LICENSE").is_symlink()
  assert (to / "LICENSE").read_text() == "theirs"
  assert not gone.exists()
  assert "mine/notes.txt" not in read(to / whole.PROVENANCE)["files"]
  (to / "README.md").unlink()
  for _ in range(2):  # and one that nobody changed is written anew
    whole.export(trained, options(to, overwrite=True))
    assert (to / "README.md").read_text() == fresh
  assert caplog.text.count("not as an export wrote it") == 2
  # As an editor leaves one while a file is open.
  (to / ".#README.md").symlink_to("nobody@nowhere.1")
  whole.export(trained, options(to, overwrite=True))
  assert (to / ".#README.md").is_symlink()


def test_a_folder_with_a_broken_provenance_is_not_replaced(
  finished_run, tmp_path
):
  trained = finished.open_stage(finished_run, "warm")
  (tmp_path / whole.PROVENANCE).write_text("{")
  with pytest.raises(strict.ConfigError, match="name another folder with --to"):
    whole.export(trained, options(tmp_path, overwrite=True))
  assert [path.name for path in tmp_path.iterdir()] == [whole.PROVENANCE]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_of_16_bits(finished_run, tmp_path, dtype):
  trained = finished.open_stage(finished_run, "student")
  (part,) = folder.parts(trained)
  sizes = []
  for name in ("float32", dtype):
    folder.write(tmp_path / name, trained, part, name)
    sizes.append((tmp_path / name / "model.safetensors").stat().st_size)
  assert sizes[1] < 0.7 * sizes[0]
  assert read(tmp_path / dtype / "config.json")["dtype"] == dtype
  library = pytest.importorskip(
    "sentence_transformers", reason="needs torch, which is not in the lock"
  )
  found = [
    library.SentenceTransformer(str(tmp_path / name), device="cpu")
    .encode(["bar kel pin"])
    .astype(np.float32)
    for name in ("float32", dtype)
  ]
  np.testing.assert_allclose(*found, atol=0.02)


def test_graphs_are_measured(finished_run, tmp_path, caplog):
  pytest.importorskip("onnxruntime", reason="it comes with the extra: onnx")
  pytest.importorskip("onnx", reason="it comes with the extra: onnx")
  trained = finished.open_stage(finished_run, "student")
  to = tmp_path / "student"
  whole.export(trained, options(to, onnx=True, int8=True, most_loss=1.0))
  said = read(to / whole.QUALITY)
  assert said["sample"]["split"] == "dev"
  assert said["sample"]["whole"]
  forms = said["forms"]
  assert forms["onnx"]["difference"] < 1e-5
  assert forms["onnx"]["figures"] == pytest.approx(forms["prod_jax"]["figures"])
  measured = trained.left.value("student", "ndcg@10")
  assert forms["prod_jax"]["figures"]["ndcg@10"] == pytest.approx(measured)
  assert _most_of_8_bits(to / "onnx" / "model_int8.onnx") == 64
  assert "pre-processing" not in caplog.text
  assert "## As ONNX" in (to / "README.md").read_text()


def _most_of_8_bits(path: pathlib.Path) -> int:
  """The largest of what is multiplied; tables of words are unsigned."""
  onnx = pytest.importorskip("onnx")
  weights = [
    onnx.numpy_helper.to_array(tensor)
    for tensor in onnx.load(path).graph.initializer
  ]
  return max(int(np.abs(x).max()) for x in weights if x.dtype == np.int8)


def test_snippets_of_graphs(finished_run, tmp_path, monkeypatch):
  """That of sentence-transformers runs in benchmarks/peer_export.py."""
  pytest.importorskip("onnxruntime", reason="it comes with the extra: onnx")
  pytest.importorskip("onnx", reason="it comes with the extra: onnx")
  trained = finished.open_stage(finished_run, "student")
  whole.export(trained, options(tmp_path / "student", onnx=True))
  text = (tmp_path / "student" / "README.md").read_text()
  codes = {
    title: behind.split("```")[0]
    for title, behind in (
      part.split(":\n\n```python\n") for part in text.split("\nWith ")[1:]
    )
  }
  compile(codes["sentence-transformers on onnxruntime"], "README.md", "exec")
  monkeypatch.chdir(tmp_path)
  names = {}
  exec(codes["onnxruntime alone"], names)
  made = []
  for tower, said in (("query", "a question"), ("passage", "a passage")):
    store = vectors.store_of(trained, [Passage("1", "", said)], tower)
    made.append(encode.embedder(trained.frozen(), tower, store)(0, 1)[0])
  # A query of ours carries the scale of the cosine.
  expected = made[0] @ made[1] / trained.encoder.scale
  assert np.asarray(names["scores"])[0, 0] == pytest.approx(expected, abs=1e-5)


def test_a_cross_encoder_is_measured_by_lists(finished_run, tmp_path):
  pytest.importorskip("onnxruntime", reason="it comes with the extra: onnx")
  pytest.importorskip("onnx", reason="it comes with the extra: onnx")
  trained = finished.open_stage(finished_run, "ce")
  whole.export(trained, options(tmp_path / "ce", onnx=True))
  said = read(tmp_path / "ce" / whole.QUALITY)
  assert said["sample"]["list"] == 16
  assert said["forms"]["onnx"]["difference"] < 1e-5
  assert "`logits`" in (tmp_path / "ce" / "README.md").read_text()


def test_a_loss_is_refused():
  pytest.importorskip("onnxruntime", reason="it comes with the extra: onnx")
  pytest.importorskip("onnx", reason="it comes with the extra: onnx")
  from prod_jax.export import quality

  before, after = {"ndcg@10": 0.5}, {"ndcg@10": 0.45}
  quality.check_loss(before, after, 0.06)
  with pytest.raises(strict.ConfigError, match=r"0\.5000 to 0\.4500"):
    quality.check_loss(before, after, 0.04)


def test_embedded_texts_are_those_of_the_encode_stage(finished_run, tmp_path):
  rows = (finished_run.parent / "set" / "queries.dev.tsv").read_text()
  source, to = tmp_path / "texts.tsv", tmp_path / "out" / "vectors.npy"
  source.write_text(rows)
  done = commands.run(
    "prod_jax.cli.embed",
    f"--workdir={finished_run}",
    "--stage=student",
    "--tower=query",
    str(source),
    "-o",
    str(to),
    "--json",
  )
  assert done.returncode == 0, done.stderr[-3000:]
  assert json.loads(done.stdout) == {"file": str(to), "rows": 8}
  ids = (to.parent / "vectors.ids.txt").read_text().split()
  assert ids == [line.split("\t")[0] for line in rows.splitlines()]
  stored = np.load(finished_run / "05-encode" / "queries-dev.npy")
  # There a query carries the scale of the cosine.
  np.testing.assert_allclose(np.load(to), stored / 20, atol=1e-6)


def test_blocks_of_passages_come_in_order(finished_run, tmp_path, monkeypatch):
  monkeypatch.setattr(vectors, "_BLOCK", 7)
  trained = finished.open_stage(finished_run, "student")
  passages = [
    {"_id": p.id, "title": p.title, "text": p.text}
    for p in (trained.run.dataset.passages[i] for i in range(20))
  ]
  source = tmp_path / "texts.jsonl"
  source.write_text("".join(json.dumps(row) + "\n" for row in passages))
  to = tmp_path / "vectors.parquet"
  assert vectors.embed_file(trained, source, to, "passage") == 20
  parquet = pytest.importorskip("pyarrow.parquet")
  table = parquet.read_table(to)
  assert table["id"].to_pylist() == [row["_id"] for row in passages]
  stored = np.asarray(encode.open_shards(finished_run / "05-encode/passages"))
  np.testing.assert_allclose(
    np.array(table["vector"].to_pylist()), stored[:20], atol=1e-5
  )


def test_teachers_are_the_other_models(finished_run):
  trained = finished.open_stage(finished_run, "student")
  assert [stage.name for stage in lineage.teachers(trained)] == ["ce"]


def test_weights_that_16_bits_do_not_hold(workdir, tmp_path):
  path = workdir / "04-student" / "params.safetensors"
  made = path.stat().st_mtime_ns
  params = hf.load_params(path)
  params["encoder"]["word"]["embedding"][0, 0] = 1e6
  hf.save_params(path, params)
  os.utime(path, ns=(made, made))  # as if the stage had made them so
  done = export(workdir, tmp_path / "out", "--dtype=float16")
  assert done.returncode == 2
  assert "--dtype=float16: embeddings.word" in done.stderr
  assert "Traceback" not in done.stderr
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("stage", ["student", "ce"])
def test_a_model_that_computes_in_16_bits_is_measured_in_32(
  workdir, tmp_path, stage
):
  pytest.importorskip("onnxruntime", reason="it comes with the extra: onnx")
  pytest.importorskip("onnx", reason="it comes with the extra: onnx")
  path = workdir / "curriculum.json"
  said = read(path)
  said["config"]["models"][stage]["dtype"] = "bfloat16"
  path.write_text(json.dumps(said))
  trained = finished.open_stage(workdir, stage)
  assert trained.encoder.transformer.dtype == "bfloat16"
  whole.export(trained, options(tmp_path / "out", onnx=True))
  forms = read(tmp_path / "out" / whole.QUALITY)["forms"]
  assert forms["onnx"]["difference"] < 1e-5


def test_a_graph_that_does_not_run_is_a_line(
  finished_run, tmp_path, monkeypatch
):
  pytest.importorskip("onnxruntime", reason="it comes with the extra: onnx")
  pytest.importorskip("onnx", reason="it comes with the extra: onnx")
  from prod_jax.export import quality, runtime

  def fail(*_):
    raise RuntimeError("no such\noperator")

  trained = finished.open_stage(finished_run, "student")
  with monkeypatch.context() as patch:
    patch.setattr(runtime, "load", fail)
    with pytest.raises(
      strict.ConfigError, match=r"^--onnx: .*\(RuntimeError: no such operator"
    ):
      whole.export(trained, options(tmp_path / "out", onnx=True))
  monkeypatch.setattr(quality, "difference", lambda *_: 0.5)
  with pytest.raises(strict.ConfigError, match=r"off by 5.0e-01 .* leave out"):
    whole.export(trained, options(tmp_path / "out", onnx=True))
  assert not (tmp_path / "out").exists()
