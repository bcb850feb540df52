"""Seals of folders and of objects, and what a disk refuses in a line."""

import errno
import json
import os

import pytest

from prod_jax import artefacts, storage


@pytest.fixture
def folder(tmp_path):
  """A sealed folder of two files."""
  folder = tmp_path / "made"
  (folder / "part").mkdir(parents=True)
  (folder / "a").write_text("one")
  (folder / "part" / "b").write_text("two")
  artefacts.seal(folder)
  return folder


def test_a_folder_with_its_files_is_whole_and_a_copy_too(folder):
  assert artefacts.is_whole(folder)
  os.utime(folder / "a", ns=(1, 1))
  assert artefacts.is_whole(folder)
  assert (folder / "a").stat().st_mtime_ns > 1, "it is not read again"


@pytest.mark.parametrize("text", ["", "On", "onE", None])
def test_one_with_other_files_is_deleted_with_a_warning(folder, text, caplog):
  path = folder / "a"
  path.unlink() if text is None else path.write_text(text)
  assert artefacts.broken(folder).keys() == {"a"}
  assert not artefacts.is_whole(folder) and not folder.exists()
  assert f"{path} " in caplog.text and "it is made again" in caplog.text
  assert not artefacts.is_whole(folder)


def sealing(name, **more):
  """The text of a seal that names one file."""
  return json.dumps({name: {"bytes": 3, **more}})


@pytest.mark.parametrize(
  "text",
  [
    "",
    "{",
    "[]",
    '{"a": 3}',
    '{"a": {}}',
    *map(sealing, ("", ".", "..", "../a", "/a", "./a", "a/", "part//b")),
    *map(sealing, ("a\0", "\ud800", "é" * 128, "ab/" * 400 + "a")),
    sealing("a", mtime_ns="x"),
    sealing("a", mtime_ns=10**30),
    sealing("a", sha256=5),
  ],
)
def test_a_seal_that_cannot_be_read_vouches_for_nothing(folder, text):
  (folder / artefacts.SEAL).write_text(text)
  assert artefacts.broken(folder) == {artefacts.SEAL: "cannot be read"}


def test_a_seal_touches_nothing_outside_of_its_folder(folder):
  outside = folder.parent / "outside"
  outside.write_text("one")
  before = outside.stat()
  said = json.loads(sealing("../outside", mtime_ns=1))
  (folder / artefacts.SEAL).write_text(json.dumps(said))
  assert not artefacts.is_whole(folder)
  assert outside.stat() == before


def test_what_is_no_plain_file_is_not_read(folder):
  """A pipe would be waited for, and /dev/zero has no end."""
  os.mkfifo(folder / "pipe")
  (folder / "zero").symlink_to("/dev/zero")
  (folder / "elsewhere").symlink_to(folder / "part")
  facts = {"bytes": 0, "mtime_ns": 1, "sha256": "x"}
  names = ("pipe", "zero", "part", "elsewhere/b", "a/b")
  assert artefacts.damage(folder, dict.fromkeys(names, facts)) == {
    "pipe": "is no plain file",
    "zero": "is a link",
    "part": "is no plain file",
    "elsewhere": "is a link",
    "a/b": "is gone",
  }
  assert artefacts.damage(folder, {"a": {"bytes": 3, "mtime_ns": None}}) == {}


def test_of_a_link_to_a_folder_the_link_is_deleted(folder):
  link = folder.with_name("link")
  link.symlink_to(folder)
  assert artefacts.is_whole(link)
  (folder / "a").write_text("other")
  assert not artefacts.is_whole(link)
  assert not os.path.lexists(link) and (folder / "a").exists()


def test_a_folder_from_before_there_were_seals_is_taken_as_it_is(folder):
  (folder / artefacts.SEAL).unlink()
  (folder / "a").write_text("other")
  assert artefacts.is_whole(folder)


def test_an_object_is_as_it_was_sealed(tmp_path):
  said = {"b": (1, 2), "a": {"x": 0.1}}
  path = tmp_path / "said.json"
  storage.write_text(path, json.dumps(storage.sealed(said)))
  found = storage.read_object(path)
  assert found["b"] == [1, 2] and storage.is_intact(found)
  path.write_text(path.read_text().replace("0.1", "0.7"))
  assert storage.read_object(path) == {}
  assert storage.is_intact({"b": 1}), "nobody sealed it"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_what_a_disk_refuses_is_a_line_with_file_and_remedy(code):
  error = OSError(code, os.strerror(code), "/runs/a/scores.npy")
  said = storage.trouble(error)
  assert os.strerror(code) in said and "/runs/a/scores.npy" in said
  assert said.count("\n") == 0 and len(said.split(": ")[-1]) > 20
  # As a library of C++ tells it.
  assert storage.trouble(ValueError(f"UNKNOWN:\n{os.strerror(code)} [x]"))


def raised(error, module):
  """An error that comes out of a module."""
  there = {"__name__": module, "error": error}
  exec("def fail():\n  raise error", there)
  with pytest.raises(type(error)):
    there["fail"]()
  return error


SILENT = [ConnectionResetError, TimeoutError]


@pytest.mark.parametrize("kind", SILENT)
def test_so_is_a_bucket_that_does_not_answer(kind):
  error = raised(kind("no answer"), "gcsfs.core")
  assert "the bucket does not answer; the same" in storage.trouble(error)
  error = raised(kind("no answer"), "etils.epath.backend")
  assert "the bucket does not answer; the same" in storage.trouble(error)


def test_a_bucket_whose_library_is_not_there_names_its_extra():
  said = storage.trouble(
    ImportError("Please install gcsfs to access Google Storage")
  )
  assert "gcsfs (pip install 'prod_jax[gcs]') to access Google" in said
  other = "Install s3fs to access S3"
  assert storage.trouble(ImportError(other)) == other
  assert not storage.trouble(ImportError("No module named 'nix'"))


def of(module):
  return type("SomeError", (Exception,), {"__module__": module})("503, no")


@pytest.mark.parametrize(
  "module", ["gcsfs.retry", "google.api_core.exceptions", "google.auth", "s3fs"]
)
def test_its_libraries_have_errors_of_their_own(module):
  assert storage.trouble(of(module)).startswith("SomeError: 503, no: the buck")


@pytest.mark.parametrize(
  "module", ["google.protobuf.message", "google", "fsspecial", "builtins"]
)
def test_whoever_reads_no_bucket_has_no_trouble_with_one(module):
  assert not storage.trouble(of(module))
  assert not storage.trouble(raised(ValueError("none"), "gcsfs.core"))
  for kind in SILENT:
    assert not storage.trouble(raised(kind("no answer"), module))


def test_a_disk_that_does_not_answer_is_no_bucket():
  for code in (errno.ETIMEDOUT, errno.ECONNRESET):
    said = storage.trouble(OSError(code, os.strerror(code), "/runs/a"))
    assert "/runs/a" in said and "the disk fails" in said


def test_other_errors_are_no_trouble_of_a_disk():
  missing = FileNotFoundError(errno.ENOENT, "No such file", "x")
  assert not storage.trouble(missing) and not storage.trouble(KeyError("a"))
  assert not storage.trouble(BrokenPipeError(errno.EPIPE, "Broken pipe"))
