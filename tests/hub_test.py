"""Models from a hub and exports to one, with its own client and no patches.

The client reads its variables when it is imported, so that it is imported anew
for each set of them.
"""

import contextlib
import dataclasses
import itertools
import json
import logging
import os
import pathlib
import socket
import sys
from unittest import mock

import jax
import numpy as np
import pytest

from prod_jax import config, strict
from prod_jax.export import as_it_is, finished, whole
from prod_jax.export import hub as sending
from prod_jax.models import hf
from prod_jax.models import hub as fetching
from prod_jax.stages import files, folders
from prod_jax.stages.run import PARAMS, Run
from tests import hub_server
from tests.bad_inputs import made, row
from tests.export.made import finish, run_of
from tests.hub_server import Fault, files_of
from tests.models.sentence_transformers_test import modules, write

KEY = "config.models.student.weights: "
LOG_IN = "set HF_TOKEN or run: hf auth login"
NEW = ".gitattributes"  # of a repository that the hub has made
# The client knows a file by its content, whose ever it is.
NUMBERS = itertools.count()


@contextlib.contextmanager
def client(home, endpoint, **variables):
  """The client with these variables, and none that are anybody's own."""
  own = ("HF_", "HUGGING", "TRANSFORMERS_")
  mine = {k: v for k, v in os.environ.items() if not k.startswith(own)}
  mine |= {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "NO_PROXY": "*"}
  others = _take_out()
  try:
    with mock.patch.dict(os.environ, mine | variables, clear=True):
      yield
  finally:
    _take_out()
    sys.modules.update(others)


def _take_out():
  """The client's modules, which are imported no more.

  Nor do their handlers log, of which each import adds one that writes into what
  was standard error then.
  """
  logging.getLogger("huggingface_hub").handlers.clear()
  names = [n for n in sys.modules if n.partition(".")[0] == "huggingface_hub"]
  return {name: sys.modules.pop(name) for name in names}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
  with hub_server.running(tmp_path_factory.mktemp("chunks")) as hub:
    yield hub


@pytest.fixture(scope="module")
def home(tmp_path_factory):
  return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def connected(server, home):
  with client(home, server.url):
    yield


@pytest.fixture
def hub(server, connected, monkeypatch):
  """The hub, asked by one who may write there."""
  monkeypatch.setenv("HF_TOKEN", hub_server.WRITES)
  server.asked.clear()
  yield server
  assert not server.faults  # each has happened
  assert {host for _, host in server.tokens} <= {"127.0.0.1"}


@pytest.fixture
def nowhere():
  """The address of a hub that is not there."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    yield f"http://127.0.0.1:{free.getsockname()[1]}"


def weights_of_its_own() -> bytes:
  """Some of an encoder that no other has."""
  number = next(NUMBERS)
  return made.tensors(lambda found: next(iter(found.values())).fill(number))


def model(folder: pathlib.Path) -> pathlib.Path:
  """An encoder's folder, with weights of its own."""
  return made.encoder(folder, {hf.WEIGHTS: weights_of_its_own()})


def student(tmp_path: pathlib.Path, weights: str, **more: bool) -> Run:
  """A run of a student that has these weights."""
  models = {"student": dict(kind="dual", weights=weights)}
  run = run_of(tmp_path / "work", models)
  data = dataclasses.replace(run.config.data, query_length=8, passage_length=12)
  made_for = dataclasses.replace(run.config, data=data)
  return dataclasses.replace(
    run, config=made_for, **{"may_fetch": True, **more}
  )


def params_of(run: Run):
  """The student's, after the check that comes before the first stage."""
  files.check(run)
  return run.first_params("student", 0)


def run_with(tmp_path: pathlib.Path, weights: str, *more: str) -> row.Ended:
  """The command `run`, of a student that has these weights."""
  change = f"c.models.student = dict(kind='dual', weights={weights!r})"
  return row.run(made.line(tmp_path, *more, change=change))


def refused(ended: row.Ended) -> str:
  """What one line says of a command that was refused, and shows no token."""
  assert ended.code == 2, ended.stderr
  assert "Traceback" not in ended.stderr
  assert not any(t in ended.stderr for t in (hub_server.WRITES, "hf_wrong"))
  return ended.said


def test_a_revision_is_fetched_once_and_is_the_folder(hub, tmp_path):
  folder = write(
    model(tmp_path / "folder"),
    modules("Pooling", "Normalize"),
    **{"1_Pooling__config": {"pooling_mode": "mean"}},
  )
  (folder / "modeling.py").write_text("raise SystemExit")
  (folder / "pytorch_model.bin").write_bytes(b"\x80\x02.")
  kept = hub.add("someone/tiny", folder, "v1")
  kept.commit({"config.json": b"{}"}, "main")  # which is another one
  run = student(tmp_path, "someone/tiny@v1")
  found = params_of(run)
  jax.tree.map(
    np.testing.assert_array_equal,
    found,
    params_of(student(tmp_path, str(folder))),
  )
  fetched = files_of(folders.weights_folder(run.model_config("student")))
  left_out = {"modeling.py", "pytorch_model.bin"}
  assert fetched == {
    k: v for k, v in files_of(folder).items() if k not in left_out
  }
  commit = folders.fingerprint(run.model_config("student"))["commit"]
  assert commit == kept.refs["v1"]
  hub.asked.clear()
  for may_fetch in (True, False):
    for name in ("someone/tiny@v1", f"someone/tiny@{commit}"):
      files.check(student(tmp_path, name, may_fetch=may_fetch))
  assert not hub.asked


def test_an_export_names_the_commit_of_its_first_weights(hub, tmp_path):
  there = hub.add("org/first", model(tmp_path / "folder"), "v1")
  run = student(tmp_path, "org/first@v1")
  files.check(run)
  finish(run)
  trained = finished.open_stage(run.workdir, "student_learns")
  whole.export(
    trained, whole.Options(to=tmp_path / "out", where=whole.card.Where("out"))
  )
  said = json.loads((tmp_path / "out" / whole.PROVENANCE).read_text())
  found = said["first_weights"]["student"]
  assert found["name"] == "org/first@v1"
  assert found["commit"] == there.refs["v1"]
  card = (tmp_path / "out" / "README.md").read_text()
  assert "| first weights of student | org/first@v1 |" in card


@pytest.mark.parametrize(
  ("weights", "token", "faults", "says"),
  [
    (
      "a/model@v9",
      hub_server.READS,
      [],
      "the hub's a/model has no revision 'v9'; name a branch, a tag or a",
    ),
    (
      "a/modle",
      hub_server.READS,
      [],
      "the hub shows no a/modle; look at its name, and where it is private log "
      f"in: {LOG_IN}",
    ),
    ("a/secret", "", [], "the hub shows no a/secret; look at its name, and"),
    (
      "a/gated",
      hub_server.READS,
      [],
      "the hub's a/gated is gated; ask for access on its page there, and log "
      f"in: {LOG_IN}",
    ),
    (
      "a/model",
      "hf_wrong",
      [],
      "the hub answered 401 (Invalid credentials in Authorization header); log "
      f"in with a token that may read it: {LOG_IN}",
    ),
    (
      "a/model",
      hub_server.READS,
      [Fault("GET", "/revision/", 503)],
      "the hub answered 503 (the test wants it); try again later",
    ),
    (
      "a/model",
      hub_server.READS,
      [Fault("HEAD", "/config.json", 507)],
      "the hub answered 507 (the test wants it); try again later",
    ),
    (
      "a/model",
      hub_server.READS,
      [Fault("GET", "/stored/", after=100, honest=True)],
      "it did not come from the hub (OSError: Consistency check failed: file",
    ),
    ("a/mo..del", "", [], "no name on a hub (HFValidationError: Cannot have"),
  ],
)
def test_what_a_hub_does_not_give_is_a_line(
  hub, tmp_path, monkeypatch, weights, token, faults, says
):
  folder = model(tmp_path / "folder")
  for name in ("model", "secret", "gated"):
    hub.add(f"a/{name}", folder, **{"private": name == "secret"})
  hub.repositories["a/gated"].gated = True
  hub.faults += faults
  monkeypatch.setenv("HF_TOKEN", token)
  said = refused(run_with(tmp_path, weights))
  assert said.startswith(f"{KEY}{weights!r} is no folder here, and {says}")


def test_what_broke_off_goes_on_where_it_was(hub, tmp_path, capfd):
  """Of what it holds the client writes 10 MiB at a time."""
  large = {hf.WEIGHTS: bytes(11 << 20)}
  folder = made.encoder(tmp_path / "folder", large)
  hub.add("b/model", folder)
  hub.faults.append(Fault("GET", "/stored/", after=(11 << 20) - 1))
  assert files_of(fetching.fetch("b/model")) == files_of(folder)
  assert hub.ranges == [f"bytes={10 << 20}-"]
  assert hub_server.WRITES not in "".join(capfd.readouterr())


def test_what_has_come_whole_is_kept(hub, tmp_path):
  hub.add("c/model", model(tmp_path / "folder"))
  hub.faults.append(Fault("GET", "/stored/", after=100, honest=True))
  with pytest.raises(fetching.NotCached, match="what has come whole is kept"):
    fetching.fetch("c/model")
  with pytest.raises(fetching.NotCached, match="no model that was fetched"):
    fetching.cached("c/model")
  hub.asked.clear()
  assert files_of(fetching.fetch("c/model")).keys() == (
    files_of(tmp_path / "folder").keys()
  )
  got = [line.rpartition("/")[2] for line in hub.asked if "/resolve/" in line]
  assert got == ["model.safetensors"]


@pytest.mark.parametrize("path", ["/stored/", "/config.json"])
def test_a_bit_that_flips_on_the_way_is_found(hub, tmp_path, path):
  """The client looks at sizes."""
  name = f"i/model{len(path)}"
  folder = made.encoder(
    tmp_path / "folder",
    {hf.WEIGHTS: weights_of_its_own(), hf.CONFIG: made.settings(of=path)},
  )
  hub.add(name, folder)
  hub.faults.append(Fault("GET", path, flips=True))
  said = refused(run_with(tmp_path, name))
  file = hf.WEIGHTS if path == "/stored/" else hf.CONFIG
  assert f"{file} came with other bytes than the hub's checksums say" in said
  assert said.endswith("run it again")
  assert files_of(fetching.fetch(name)) == files_of(folder)


def test_what_nobody_could_check_is_not_kept(hub, tmp_path, monkeypatch):
  import huggingface_hub

  folder = made.encoder(tmp_path / "folder", {hf.WEIGHTS: weights_of_its_own()})
  hub.add("i/unchecked", folder)
  hub.faults.append(Fault("GET", "/stored/", flips=True))
  with monkeypatch.context() as patch:
    patch.setattr(
      huggingface_hub.HfApi,
      "verify_repo_checksums",
      lambda *of, **how: (_ for _ in ()).throw(ConnectionError("gone")),
    )
    with pytest.raises(fetching.NotCached, match="gone"):
      fetching.fetch("i/unchecked")
  assert files_of(fetching.fetch("i/unchecked")) == files_of(folder)


@pytest.mark.long
def test_what_breaks_off_for_good_is_a_line(hub, tmp_path):
  """The client tries six times, a second between them."""
  hub.add("d/model", model(tmp_path / "folder"))
  hub.faults += [Fault("GET", "/stored/")] * 6
  said = refused(run_with(tmp_path, "d/model"))
  assert "did not come from the hub (RemoteProtocolError: peer closed" in said


def test_a_config_alone_in_the_cache_is_no_model(hub, tmp_path):
  """Other programs leave that."""
  import huggingface_hub

  folder = model(tmp_path / "folder")
  hub.add("e/model", folder)
  huggingface_hub.hf_hub_download("e/model", "config.json")
  assert files_of(fetching.fetch("e/model")) == files_of(folder)


def test_an_encoder_without_its_modules_is_another_model(
  hub, nowhere, home, tmp_path, caplog
):
  """As AutoModel leaves it; the encoder serves where nobody can be asked."""
  import huggingface_hub

  folder = write(
    model(tmp_path / "folder"),
    modules("Pooling", "Normalize"),
    **{"1_Pooling__config": {"pooling_mode": "mean"}},
  )
  (folder / "artifact.metadata").write_text("{}")  # of a ColBERT
  there = hub.add("e/whole", folder)
  for file in ("config.json", hf.WEIGHTS):
    huggingface_hub.hf_hub_download("e/whole", file)
  there.commit({"config.json": b"{}"}, "main")  # a newer one is not asked for
  with client(home, nowhere):
    left = files_of(fetching.fetch("e/whole"))
  assert left.keys() == {"config.json", hf.WEIGHTS}
  assert "is taken, and nobody knows whether it is all" in caplog.text
  assert files_of(fetching.fetch("e/whole")) == files_of(folder)
  hub.asked.clear()
  fetching.fetch("e/whole")
  assert not hub.asked


@pytest.mark.parametrize("kept", ["pytorch_model.bin", "nothing.json"])
def test_a_repository_without_weights_is_a_line(hub, tmp_path, kept):
  none = {"model.safetensors": None, kept: b"{}"}
  hub.add("f/model", made.encoder(tmp_path / "folder", none))
  said = refused(run_with(tmp_path, "f/model"))
  assert KEY[:-2] in said and "no weights" in said, said
  assert "hf download the model into a folder" in said, said


def test_without_a_network_what_is_here_is_taken(
  hub, home, nowhere, tmp_path, monkeypatch
):
  folder = model(tmp_path / "folder")
  hub.add("g/model", folder, "v1")
  fetching.fetch("g/model@v1")
  again = "there is a network with: hf download g/other --revision v2"
  for variables, why in (
    ({}, "ConnectError: "),
    ({"HF_HUB_OFFLINE": "1"}, "OfflineModeIsEnabled: "),
  ):
    with client(home, nowhere, **variables):
      assert files_of(fetching.fetch("g/model@v1")) == files_of(folder)
      said = refused(run_with(tmp_path, "g/other@v2"))
      assert said.startswith(
        f"{KEY}'g/other@v2' is no folder here, and the hub"
      )
      assert why in said and said.endswith(again)
      with pytest.raises(strict.ConfigError, match="'g/other@v2' .*" + again):
        as_it_is.opening("g/other@v2", config.Data(), {})()
      said = refused(run_with(tmp_path, "g/other@v2", "--dry_run"))
      assert said.endswith(
        "run without --dry_run to fetch it, or give a folder"
      )


def test_a_cache_that_is_read_only_serves(hub, tmp_path, monkeypatch):
  hub.add("r/model", model(tmp_path / "folder"))
  mark = mock.Mock(exists=lambda: False)
  mark.touch.side_effect = PermissionError(13, "Permission denied")
  monkeypatch.setattr(fetching, "_mark", lambda folder: mark)
  assert (fetching.fetch("r/model") / "model.safetensors").is_file()
  assert mark.touch.called


def test_a_disk_that_refuses_is_a_line_of_the_disk(hub, home, tmp_path):
  hub.add("h/model", model(tmp_path / "folder"))
  (tmp_path / "cache").write_text("")
  with client(home, hub.url, HF_HUB_CACHE=str(tmp_path / "cache")):
    said = refused(run_with(tmp_path, "h/model"))
  assert str(tmp_path / "cache") in said
  assert said.endswith("put it right, or name another place")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
  """The working folder of a run that has ended."""
  return made.finished(tmp_path_factory.mktemp("work") / "work")


def export(work, to, *more):
  """The command `export`, of the student."""
  return row.run(
    ["export", f"--workdir={work}", "--stage=student", f"--to={to}", *more]
  )


@pytest.fixture
def sent(hub, work, tmp_path):
  """An export, and how the command ended that sent it."""
  hub.repositories.pop("me/student", None)
  to = tmp_path / "der Schüler"
  return to, export(work, to, "--push=me/student", "--private", "--json")


def test_an_export_is_sent_whole_and_by_nobodys_name(hub, sent, capfd, caplog):
  to, ended = sent
  assert ended.code == 0, ended.stderr
  assert '"hub": "me/student"' in ended.stdout
  assert hub.repositories["me/student"].private
  arrived = dict(hub.repositories["me/student"].files)
  del arrived[NEW]
  assert arrived == files_of(to)
  assert f"{to} is on the hub as me/student" in ended.stderr
  said = "".join([ended.stdout, ended.stderr, *capfd.readouterr(), caplog.text])
  assert hub_server.WRITES not in said
  # The client as everybody has it keeps large files in chunks.
  assert not hub.stored.keys() & {
    hub_server.sha256(v) for v in arrived.values()
  }


def test_what_was_sent_is_a_student_again(hub, sent, work, tmp_path):
  del sent
  with client(tmp_path / "home", hub.url, HF_TOKEN=hub_server.READS):
    run = student(tmp_path, "me/student")
    found = params_of(run)
  assert "/xet-read-token/" in " ".join(hub.asked)
  trained = hf.load_params(next(work.glob(f"*-student/{PARAMS}")))
  assert found.keys() == {"encoder"}
  jax.tree.map(
    np.testing.assert_array_equal, found["encoder"], trained["encoder"]
  )


def test_what_is_sent_again_replaces_what_was_sent(hub, sent):
  to, _ = sent
  there = hub.repositories["me/student"]
  sending.push(to, "me/student", private=True)
  assert len(there.commits) == 2  # the first of all, and what was sent
  # Somebody has put a licence there, and a graph is of weights that are gone.
  graph = {"onnx/model.onnx": b"old", "LICENSE": b"theirs"}
  old = there.files[whole.PROVENANCE].replace(
    b'"files": {', b'"files": {"onnx/model.onnx": "", '
  )
  there.commit({**there.files, **graph, whole.PROVENANCE: old}, "main")
  (to / "README.md").write_text("---\nlicense: mit\n---\n")
  sending.push(to, "me/student", private=True)
  assert there.files == {
    **files_of(to),
    NEW: there.files[NEW],
    "LICENSE": b"theirs",
  }


def test_a_card_that_somebody_filled_in_there_stays(hub, sent, caplog):
  to, _ = sent
  there = hub.repositories["me/student"]
  caplog.set_level("INFO")
  theirs = b"---\nlicense: mit\n---\ntheirs\n"
  there.commit({**there.files, "README.md": theirs}, "main")
  (to / "modules.json").write_text("[]")  # something is new
  sending.push(to, "me/student", private=True)
  assert there.files["README.md"] == theirs
  assert there.files["modules.json"] == b"[]"
  assert "the card of me/student is not as an export wrote it" in caplog.text
  # One that was filled in here is what its owner wants to have there.
  (to / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
  sending.push(to, "me/student", private=True)
  assert there.files["README.md"] == (to / "README.md").read_bytes()


def test_without_xet_large_files_go_to_the_storage(hub, work, tmp_path):
  to = tmp_path / "student"
  export(work, to)
  (to / "large.safetensors").write_bytes(os.urandom(100))
  with client(
    tmp_path / "home",
    hub.url,
    HF_HUB_DISABLE_XET="1",
    HF_TOKEN=hub_server.WRITES,
  ):
    sending.push(to, "me/old", private=False)
    arrived = dict(hub.repositories["me/old"].files)
    del arrived[NEW]
    assert arrived == files_of(to)
    assert hub_server.sha256(arrived["large.safetensors"]) in hub.stored
    fetched = files_of(fetching.fetch("me/old"))
  assert fetched == {k: v for k, v in arrived.items() if k != "README.md"}


@pytest.mark.parametrize(
  ("token", "fault", "says"),
  [
    (
      hub_server.READS,
      None,
      "the hub answered 403 (you must use a write token); log in with a token "
      f"that may write it: {LOG_IN}",
    ),
    (
      "hf_wrong",
      None,
      "the hub answered 401 (Invalid credentials in Authorization header); log "
      f"in with a token that may write it: {LOG_IN}",
    ),
    (
      hub_server.WRITES,
      Fault("POST", "/repos/create", 503, echoes=True),
      "the hub answered 503 (the test wants it of Bearer ***); try again later",
    ),
    (
      hub_server.WRITES,
      Fault("POST", "/commit/", 507),
      "the hub answered 507 (the test wants it); try again later",
    ),
    (
      hub_server.WRITES,
      Fault("POST", "/validate-yaml"),
      "RemoteProtocolError",
    ),
  ],
)
def test_what_a_hub_does_not_take_is_a_line_and_stays(
  hub, work, tmp_path, monkeypatch, token, fault, says
):
  hub.repositories.pop("me/none", None)
  hub.faults += [fault] if fault else []
  monkeypatch.setenv("HF_TOKEN", token)
  to = tmp_path / "ein Schüler"
  said = refused(export(work, to, "--push=me/none", "--private"))
  assert said.startswith("--push: me/none") and says in said
  assert said.endswith(
    f"the export is in {to}, and is sent by: hf upload me/none '{to}' --private"
  )
  assert (to / whole.PROVENANCE).is_file()
  there = hub.repositories.get("me/none")
  assert there is None or there.files.keys() == {NEW}


def test_nobody_who_is_not_logged_in_exports_for_a_hub(
  hub, work, tmp_path, monkeypatch
):
  monkeypatch.delenv("HF_TOKEN")
  said = refused(export(work, tmp_path / "to", "--push=me/none"))
  assert said == f"--push: nobody is logged in to the hub; {LOG_IN}"
  assert not hub.asked and not (tmp_path / "to").exists()


def test_a_public_repository_takes_nothing_private(hub, work, tmp_path):
  there = hub.add("me/public", model(tmp_path / "folder"))
  said = refused(export(work, tmp_path / "to", "--push=me/public", "--private"))
  assert "me/public is there already, and everybody sees it; make it" in said
  assert "hf upload" not in said  # which would send it all the same
  assert len(there.commits) == 1


def test_no_other_provenance_is_replaced(hub, tmp_path):
  there = hub.add("me/other", model(tmp_path / "folder"))
  there.commit({whole.PROVENANCE: b"{}"}, "main")
  with pytest.raises(strict.ConfigError, match="that of me/other; delete it"):
    sending.push(tmp_path / "folder", "me/other", private=False)
