"""Files of somebody who means harm: none runs, leads out, or fills the disk.

A pickle, or a module that would be imported, leaves a mark where it runs.
"""

import ast
import gzip
import io
import json
import logging
import os
import pathlib
import pickle
import re
import struct
import sys
import tarfile
import threading
import zipfile
from unittest import mock

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from prod_jax import (
  arrays,
  artefacts,
  config,
  parts,
  presence,
  progress,
  run_files,
  storage,
  strict,
)
from prod_jax.batches import tokens
from prod_jax.cli import arguments
from prod_jax.models import hf, sentence_transformers, weights
from prod_jax.processes import Processes
from prod_jax.retrieval.pieces import Counter, Pieces
from prod_jax.sets import dataset, download, formats, lines
from prod_jax.sets.foreign import layout, read
from prod_jax.sets.records import DataError
from prod_jax.train import checkpoint
from tests.commands import REPO
from tests.fuzz import of_models, of_runs, of_sets

PASSWORD = "hunter2"


UNPICKLED: list[str] = []  # names that a pickle asked for


def _note(event, args):
  if event == "pickle.find_class":
    UNPICKLED.append(".".join(args))


sys.addaudithook(_note)


class Evil:
  """Leaves a mark when it is unpickled."""

  def __init__(self, mark):
    self.mark = mark

  def __reduce__(self):
    return pathlib.Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path, monkeypatch):
  """The file that code leaves; `evil` is a module that could be imported."""
  path = tmp_path / "mark"
  place = tmp_path / "path"
  place.mkdir()
  code = f"import pathlib\npathlib.Path({str(path)!r}).touch()\n"
  (place / "evil.py").write_text(code)
  monkeypatch.syspath_prepend(str(place))
  pickle.loads(pickle.dumps(Evil(path)))
  assert path.exists()
  path.unlink()
  UNPICKLED.clear()
  yield path
  assert not UNPICKLED
  assert not path.exists()
  assert "evil" not in sys.modules


def objects(mark):
  return np.array([Evil(mark)], object)


def test_arrays_of_objects_are_refused(mark, tmp_path):
  np.save(tmp_path / "a.npy", objects(mark), allow_pickle=True)
  (tmp_path / "b.npy").write_bytes(pickle.dumps(Evil(mark)))
  np.savez(tmp_path / "c.npz", a=objects(mark))
  for name in ("a.npy", "b.npy", "c.npz"):
    for mapped in (False, True):
      with pytest.raises(strict.ConfigError, match=name):
        arrays.read(tmp_path / name, mapped=mapped)


def test_a_piece_of_objects_is_made_again(mark, tmp_path):
  folder = tmp_path / "pieces"
  folder.mkdir()
  np.savez(folder / "000000.npz", rows=objects(mark), values=objects(mark))
  counter = Counter(progress.Meter("a", 2, "rows"))
  pieces = Pieces(folder, 2, counter, Processes(tmp_path))
  assert not pieces.begin(np.zeros((2, 3))).any()
  assert not list(folder.iterdir())


def hostile_model(folder, mark):
  """A folder in which whatever can name code does."""
  code = (pathlib.Path(sys.path[0]) / "evil.py").read_text()
  files = {
    "config.json": {
      **of_models.BERT,
      "auto_map": {"AutoModel": "modeling_evil.Model", "AutoConfig": "evil.C"},
      "custom_pipelines": {"x": {"impl": "evil.Pipeline"}},
      "trust_remote_code": True,
    },
    "tokenizer_config.json": {
      **of_models.NAMED,
      "auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]},
      "chat_template": "{{ cycler.__init__.__globals__.os.system('x') }}",
    },
    "modules.json": of_models.MODULES[:2],
    "1_Pooling/config.json": of_models.POOLING,
    "config_sentence_transformers.json": {
      "prompts": {"query": "{{ 7 * 7 }}"},
      "similarity_fn_name": "cosine",
    },
  }
  for name, said in files.items():
    (folder / name).parent.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text(json.dumps(said))
  (folder / "tokenizer.json").write_bytes(of_models.tokenizer())
  (folder / "model.safetensors").write_bytes(of_models.tensors())
  for name in ("modeling_evil.py", "evil.py", "__init__.py", "handler.py"):
    (folder / name).write_text(code)
  (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(mark)))
  return folder


def test_the_folder_of_a_model_runs_nothing(mark, tmp_path):
  folder = hostile_model(tmp_path / "model", mark)
  assert hf.read_config(folder).width == 4
  described = sentence_transformers.read(folder)
  assert described.prompts == {"query": "{{ 7 * 7 }}"}  # as it is written
  assert tokens.load_tokenizer(folder).encode(["a"])[0].tolist() == [5]
  with weights.opened(folder) as file:
    assert file.names


@pytest.mark.parametrize(
  "kind", ["evil.Module", "sentence_transformers.evil.Pooling", "os.system"]
)
def test_a_module_that_a_folder_brings_is_refused(mark, tmp_path, kind):
  folder = hostile_model(tmp_path / "model", mark)
  modules = [of_models.MODULES[0], {"type": kind, "path": "1_Pooling"}]
  if kind.startswith("sentence"):  # the last word is what it says it is
    modules.append({"type": "evil.Module", "path": ""})
  (folder / "modules.json").write_text(json.dumps(modules))
  with pytest.raises(weights.WeightsError, match="names the modules"):
    sentence_transformers.read(folder)


def test_pickled_weights_are_not_read(mark, tmp_path):
  folder = hostile_model(tmp_path / "model", mark)
  (folder / "model.safetensors").unlink()
  with pytest.raises(weights.WeightsError, match=r"only pytorch_model\.bin"):
    hf.read_head(folder)
  (folder / "model.safetensors").write_bytes(pickle.dumps(Evil(mark)))
  with pytest.raises(weights.WeightsError, match="no safetensors"):
    hf.read_head(folder)


def safetensors(header, content=b"", length=None):
  text = header if isinstance(header, bytes) else json.dumps(header).encode()
  return (
    struct.pack("<Q", len(text) if length is None else length) + text + content
  )


def tensor(start=0, stop=4, shape=(1,), dtype="F32"):
  return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize(
  "content",
  [
    safetensors({"a": tensor()}),  # nothing behind the header
    safetensors({"a": tensor(stop=1 << 60)}, bytes(4)),
    safetensors({"a": tensor(shape=(1 << 40, 1 << 40))}, bytes(4)),
    safetensors({"a": tensor(shape=(2,))}, bytes(4)),
    safetensors({"a": tensor(), "b": tensor()}, bytes(4)),  # one in another
    safetensors({"a": tensor(start=-4, stop=0)}, bytes(4)),
    safetensors({"a": tensor(dtype="O")}, bytes(4)),
    safetensors({"a": tensor()}, bytes(4), length=1 << 62),
    safetensors(b"[" * 100_000),
    b"",
  ],
)
def test_headers_of_weights_that_lie_are_refused(tmp_path, content):
  path = tmp_path / "model.safetensors"
  path.write_bytes(content)
  with (
    pytest.raises(weights.WeightsError, match=r"model\.safetensors"),
    weights.opened(path) as file,
  ):
    file.read("a")


def test_a_header_of_an_array_that_lies_is_refused(tmp_path):
  path = tmp_path / "a.npy"
  whole = of_runs.array(np.zeros(4, np.float32))
  path.write_bytes(whole.replace(b"(4,)", b"(9**9,)"))
  with pytest.raises(strict.ConfigError, match=r"a\.npy"):
    arrays.read(path)
  path.write_bytes(whole.replace(b"(4,), }       ", b"(99999999999,)}"))
  with pytest.raises(strict.ConfigError, match=r"a\.npy"):
    arrays.read(path)


def test_a_parquet_file_runs_nothing(mark, tmp_path):
  said = {
    "ARROW:extension:name": "arrow.py_extension_type",
    "ARROW:extension:metadata": pickle.dumps(Evil(mark)),
  }
  schema = pyarrow.schema(
    [
      pyarrow.field("query_id", pyarrow.string(), metadata=said),
      pyarrow.field("passage_id", pyarrow.string()),
    ],
    metadata={"pandas": "{}", "evil": pickle.dumps(Evil(mark))},
  )
  rows = {"query_id": ["q1"], "passage_id": ["d1"]}
  path = tmp_path / "a.parquet"
  pyarrow.parquet.write_table(pyarrow.table(rows, schema=schema), path)
  found = of_sets.foreign(path)
  assert found.pairs.query.tolist() == [0]
  assert layout.find(path, "").format == "parquet"
  assert read.QUERIES in found.examples


def test_a_checkpoint_is_restored_without_a_pickle(tmp_path):
  state = {"a": np.arange(3.0), "b": {"c": np.ones((2, 2))}}
  saved = checkpoint.Checkpoints(tmp_path / "checkpoints", {"steps": 4})
  saved.save(1, state)
  saved.close()
  UNPICKLED.clear()
  opened = checkpoint.Checkpoints(tmp_path / "checkpoints", {"steps": 4})
  step, found = opened.newest(state)
  opened.close()
  assert step == 1
  np.testing.assert_array_equal(found["a"], state["a"])
  assert not UNPICKLED


def test_notes_of_a_prepared_set_run_nothing(mark, tmp_path):
  folder = tmp_path / "set"
  folder.mkdir()
  for name, content in of_sets.FOLDER.items():
    (folder / name).write_bytes(content)
  data = config.Data(name="folder", path=str(folder))
  located = dataset.locate(data, str(tmp_path / "prepared"))
  assert len(located.open().passages) == 3
  for path in (tmp_path / "prepared").rglob("*.json"):
    if path.name == artefacts.SEAL:
      path.unlink()
      continue
    said = re.sub(
      r'"(pythonClassName|type|moduleName)": "[^"]*"',
      r'"\1": "evil.Evil"',
      path.read_text(),
    )
    path.write_text(said)
  again = dataset.locate(data, str(tmp_path / "prepared")).open()
  assert [passage.id for passage in again.passages] == ["d1", "d2", "d3"]


def entry(kind, name="queries.train.tsv", link="", size=0):
  found = tarfile.TarInfo(name)
  found.type, found.linkname, found.size = kind, link, size
  return found


def test_only_a_plain_file_of_an_archive_is_read(tmp_path):
  secret = tmp_path / "secret"
  secret.write_text("q9\tsecret\n")
  path = tmp_path / "a.tar"
  with tarfile.open(path, "w") as tar:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
      tar.addfile(entry(kind, link=str(secret)))
    tar.addfile(entry(tarfile.DIRTYPE))
    own = entry(tarfile.REGTYPE, "/../../queries.train.tsv", size=8)
    tar.addfile(own, io.BytesIO(b"q1\twhat\n"))
  source = lines.Member(path, "queries.train.tsv")
  assert [*formats.read_queries(source)] == [("q1", "what")]
  folder = tmp_path / "out"
  folder.mkdir()
  assert lines.plain(source, folder).parent == folder
  assert len(list(tmp_path.rglob("*"))) == 4  # what there was, and one file


def test_what_swells_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(lines, "_SMALL", 1 << 20)
  monkeypatch.setattr(lines, "_UNPACKED_BYTES", 1 << 20)
  packed, folder = tmp_path / "q.tsv.gz", tmp_path / "out"
  packed.write_bytes(gzip.compress(b"q1\ttext\n" * (1 << 20)))
  folder.mkdir()
  with pytest.raises(DataError, match=r"q\.tsv\.gz: more than 200 times"):
    lines.plain(packed, folder)
  assert not list(folder.iterdir())


def test_a_line_without_an_end_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(lines, "_LONGEST", 1000)
  path, packed = tmp_path / "q.tsv", tmp_path / "p.tsv.gz"
  path.write_bytes(b"q1\tone\n" + b"q2\t" + b"x" * 2000)
  packed.write_bytes(gzip.compress(path.read_bytes()))
  for source in (path, packed):
    with pytest.raises(DataError, match=rf"{source}:2: a line of more than"):
      [*formats.read_queries(source)]
  monkeypatch.setattr(lines, "_SCANNED_BYTES", 500)
  with pytest.raises(DataError, match=rf"{packed}:2: a line of more than"):
    lines.blocks_of(path, 10, packed)
  monkeypatch.setattr(lines, "_LONGEST", 3000)
  assert len([*formats.read_queries(path)]) == 2
  assert lines.blocks_of(path, 10, path)[0].stop == path.stat().st_size


def test_an_id_has_so_many_letters_and_no_more(tmp_path):
  """As many as SECURITY.md says."""
  said = (REPO / "SECURITY.md").read_text()
  most = int(re.search(r"an id of more than (\d+) characters", said)[1])
  assert most == 1000
  path = tmp_path / "queries.tsv"
  path.write_text(f"{'x' * most}\ttext\n")
  assert [*formats.read_queries(path)] == [("x" * most, "text")]
  path.write_text(f"{'x' * (most + 1)}\ttext\n")
  with pytest.raises(DataError, match=r"queries\.tsv:1: .*id"):
    [*formats.read_queries(path)]


@pytest.mark.parametrize(
  "name", ["/etc/x", "../x", "top/../../x", "top\\..\\x"]
)
def test_a_zip_that_leads_out_is_refused(tmp_path, name):
  path = tmp_path / "a.zip"
  path.write_bytes(of_runs.zipped((name, b"x")))
  with pytest.raises(strict.Refused, match=r"a\.zip.*is not in top"):
    parts.unpack([path], "top", tmp_path / "out")
  assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_a_zip_that_swells_or_lies_is_refused(tmp_path, monkeypatch):
  path = tmp_path / "a.zip"
  whole = of_runs.zipped(("top/a", b"x" * 5000))
  path.write_bytes(whole)
  for limit in ("_MOST_BYTES", "_MOST_FILES"):
    with monkeypatch.context() as patch:
      patch.setattr(parts, limit, 0)
      with pytest.raises(strict.Refused, match=r"a\.zip.*it takes"):
        parts.unpack([path], "top", tmp_path / "out")
  # Both of its headers say that it is of one byte.
  path.write_bytes(whole.replace(struct.pack("<L", 5000), struct.pack("<L", 1)))
  with pytest.raises(strict.Refused, match=r"a\.zip.*CRC"):
    parts.unpack([path], "top", tmp_path / "out")
  link = zipfile.ZipInfo("top/link")
  link.external_attr = 0o120777 << 16
  with zipfile.ZipFile(path, "w") as file:
    file.writestr(link, "/etc/passwd")
  with pytest.raises(strict.Refused, match="is a link"):
    parts.unpack([path], "top", tmp_path / "out")
  assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_no_name_in_the_files_of_a_run_leads_out_of_its_folder(tmp_path):
  facts = {"bytes": 1}
  for name in ("../../x", "/etc/passwd", "a/../../b", "\0", "", ".", "x" * 256):
    said = {**of_runs.DONE, "files": {name: facts}}
    (tmp_path / storage.DONE).write_text(json.dumps(said))
    assert run_files.done(tmp_path) == {}
  long = f"00-{'é' * 127}"  # in bytes, as disks count
  for name in ("..", "../00-warm", "/etc", "00-a/../../b", "", long, 5):
    row = {**of_runs.ROW, "dir": name}
    said = {**of_runs.CURRICULUM, "stages": [row]}
    (tmp_path / storage.CURRICULUM).write_text(json.dumps(said))
    with pytest.raises(strict.ConfigError, match=r"stages\[0\]\.dir"):
      run_files.curriculum(tmp_path)


@pytest.fixture
def own(tmp_path):
  """A file of the user's, which has to stay as it is."""
  path = tmp_path / "own" / "file"
  path.parent.mkdir()
  path.write_text("precious")
  yield path
  assert path.read_text() == "precious"
  assert [*path.parent.iterdir()] == [path]


def test_no_run_writes_through_a_link_in_its_folder(tmp_path, own):
  folder = tmp_path / "run"
  (folder / "00-a").mkdir(parents=True)
  names = "RUNNING.json", "PROGRESS.json.part", "00-a/scores.npy", "stale"
  for link in (folder / name for name in names):
    for to in (own, own.parent, own.with_name("gone")):
      link.symlink_to(to)
      with (
        pytest.raises(strict.ConfigError, match=f"{link} is a link"),
        presence.held(folder, dict),
      ):
        raise AssertionError
      link.unlink()
  (folder / "latest").symlink_to("00-a")
  (folder / "all").symlink_to(".")
  library = folder / "trackers" / "wandb" / "wandb"
  library.mkdir(parents=True)
  (library / "core.log").symlink_to(own)  # of its service; it writes no more
  with presence.held(folder, dict):
    pass


def test_what_cannot_be_listed_is_passed_over(tmp_path, monkeypatch):
  """As `lost+found` on a disk of its own."""
  scandir = os.scandir

  def refuse(path):
    if str(path).endswith("lost+found"):
      raise PermissionError(13, "Permission denied", path)
    return scandir(path)

  (tmp_path / "lost+found").mkdir()
  monkeypatch.setattr(os, "scandir", refuse)
  storage.check_links(tmp_path)
  (tmp_path / "out").symlink_to(tmp_path.parent)  # the rest is looked at
  with pytest.raises(strict.ConfigError, match="out is a link"):
    storage.check_links(tmp_path)


def test_without_a_home_the_cache_has_to_be_named(monkeypatch):
  def none(path):
    raise RuntimeError("Could not determine home directory.")

  monkeypatch.delenv("PROD_JAX_CACHE", raising=False)
  monkeypatch.setattr(pathlib.Path, "expanduser", none)
  with pytest.raises(strict.ConfigError, match="in PROD_JAX_CACHE"):
    storage.cache()


def test_what_is_written_whole_follows_no_link(tmp_path, own):
  path, part = tmp_path / "a", tmp_path / "a.part"
  path.symlink_to(own)
  part.symlink_to(own)
  storage.write_text(path, "new")
  os.mkfifo(part)
  storage.write_text(path, "newer")
  assert path.read_text() == "newer" and not path.is_symlink()


def test_a_download_follows_no_link(tmp_path, own, monkeypatch):
  monkeypatch.setattr(
    download, "_download", lambda remote, part: part.write_text("x")
  )
  remote = download.Remote("https://example.org/f")
  for name in ("f.part", "f.json"):
    (tmp_path / name).symlink_to(own)
    assert download.fetch(remote, tmp_path).read_text() == "x"
    for made in ("f", "f.json"):
      (tmp_path / made).unlink()
  (tmp_path / ".f.lock").unlink()
  (tmp_path / ".f.lock").symlink_to(own)
  with pytest.raises(strict.ConfigError, match=r"\.f\.lock is a link"):
    download.fetch(remote, tmp_path)


def test_an_error_obeys_no_terminal_and_ends(tmp_path):
  path = tmp_path / "qrels.tsv"
  path.write_text("q1 0 d1 \x1b[2J\u202eevil\n")
  with pytest.raises(DataError) as error:
    formats.read_qrels(path)
  assert "\x1b" not in str(error.value)
  assert "\u202e" not in str(error.value)
  path.write_text(f"q1 0 d1 {'9' * 1_000_000}\n")
  with pytest.raises(DataError, match=r"qrels\.tsv:1: grade") as error:
    formats.read_qrels(path)
  assert len(str(error.value)) < 5000
  assert "remove a header line" in str(error.value)  # the end is what to do


@pytest.mark.parametrize(
  "address",
  [
    f"s3://user:{PASSWORD}@bucket/run",
    f"s3://AKIA:ab/{PASSWORD}@bucket/run",
    f"s3://user:p@{PASSWORD}/@bucket/run",
    f"s3://:{PASSWORD}@bucket/run",
  ],
)
def test_passwords_in_addresses_are_told_nowhere(
  tmp_path, monkeypatch, address
):
  with pytest.raises(strict.ConfigError, match="no password in it") as error:
    storage.open_path(address)
  assert PASSWORD not in str(error.value)
  monkeypatch.setattr(sys, "orig_argv", ["prod_jax", f"--workdir={address}"])
  with (
    pytest.raises(RuntimeError),
    presence.held(tmp_path, dict, lambda seconds: None),
  ):
    raise RuntimeError(f"cannot reach {address}")
  said = (tmp_path / presence.RUNNING).read_text()
  assert "s3://***@bucket" in said
  assert PASSWORD not in said
  harmless = "a@b https://x/y@z gs://b/p az://box@account/run"
  assert strict.without_passwords(harmless) == harmless
  for web in ("http", "https"):
    token = f"{web}://{PASSWORD}@example.org/x, {web}://a.org/b@c"
    shown = f"{web}://***@example.org/x, {web}://a.org/b@c"
    assert strict.without_passwords(token) == shown
    port = f'{web}://a.org:80/@b {{"u":"{web}://a.org:80/y","mail":"me@b.org"}}'
    assert strict.without_passwords(port) == port
    slash = f"{web}://user:a/{PASSWORD}@example.org/x"
    assert strict.without_passwords(slash) == f"{web}://***@example.org/x"
  dated = "gs://b/2026-01-01T10:00/model@v2"
  assert str(storage.open_path(dated)) == dated
  by_pathlib = str(pathlib.Path(address))
  assert strict.without_passwords(by_pathlib) == "s3:/***@bucket/run"
  two = f'["{address}", "{address}"]'
  assert PASSWORD not in strict.without_passwords(two)


def test_no_password_is_in_a_line_or_a_traceback(capfd):
  address = f"s3://user:{PASSWORD}@bucket/run"
  try:
    raise RuntimeError(f"cannot reach {address}")
  except RuntimeError as error:
    known = type(error), error, error.__traceback__
    record = logging.LogRecord(
      "a", 20, "b", 1, "reads %s", (address,), known, sinfo=address
    )
    with mock.patch.multiple(sys, excepthook=None):
      arguments._set_up_tracebacks()
      sys.excepthook(*known)
  said = arguments.LogFormat().format(record), capfd.readouterr().err
  for text in said:
    assert "cannot reach s3://***@bucket/run\n" in text
    assert text.count("Traceback") == 1 and PASSWORD not in text


def test_a_thread_that_fails_tells_no_password(capfd):
  def fails():
    raise RuntimeError(f"s3://user:{PASSWORD}@bucket")

  with (
    mock.patch.multiple(sys, excepthook=None),
    mock.patch.multiple(threading, excepthook=None),
  ):
    arguments._set_up_tracebacks()
    thread = threading.Thread(target=fails)
    thread.start()
    thread.join()
  said = capfd.readouterr().err
  assert "RuntimeError: s3://***@bucket" in said and PASSWORD not in said


def test_a_thread_that_ends_by_itself_says_nothing(capfd):
  with mock.patch.multiple(threading, excepthook=None):
    arguments._set_up_tracebacks()
    thread = threading.Thread(target=sys.exit, args=(0,))
    thread.start()
    thread.join()
  assert not capfd.readouterr().err


def test_long_texts_are_looked_through_once():
  for text in ("9" * 1_000_000, "a:/" * 300_000, ":/" + ":@x" * 300_000):
    assert strict.without_passwords(text)


# What of the environment is asked for, each by its name.
NAMES = {
  "ALLOW_MULTIPLE_LIBTPU_LOAD",
  "GLIBC_TUNABLES",
  "LIBTPU_INIT_ARGS",
  "MALLOC_ARENA_MAX",
  "NO_COLOR",
  "PROD_JAX_CACHE",
  "TERM",
  "TPU_ACCELERATOR_TYPE",
  "TPU_SKIP_MDS_QUERY",
  "TPU_WORKER_HOSTNAMES",
  "WANDB_PROJECT",
  "XLA_FLAGS",
}


def test_no_key_of_the_environment_is_read():
  """Tokens of a hub, of W&B or of a bucket are their clients' own business."""
  for path in (REPO / "prod_jax").rglob("*.py"):
    lines_of = path.read_text().splitlines()
    for node in ast.walk(ast.parse("\n".join(lines_of))):
      if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv"):
        around = " ".join(lines_of[node.lineno - 1 : node.lineno + 1])
        named = [name for name in NAMES if f'"{name}"' in around]
        assert named, f"{path}:{node.lineno}"
