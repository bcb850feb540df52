"""Downloads from a server of our own that breaks off, lies or changes."""

import functools
import hashlib
import http.server
import json
import os
import threading
from typing import ClassVar

import pytest

from prod_jax import config
from prod_jax.sets import dataset, download
from prod_jax.sets.datasets import msmarco_document, msmarco_passage, nq
from prod_jax.sets.datasets import published as sources
from prod_jax.sets.records import DataError
from tests.sets import published

CONTENT = bytes(range(256)) * 4000  # about a megabyte


class Handler(http.server.SimpleHTTPRequestHandler):
  """Serves ranges; the first transfers may end in the middle."""

  breaks: int = 0
  etag: str = '"one"'
  ranges: bool = True
  requests: ClassVar[list[tuple[str, str]]] = []

  def do_GET(self):
    path = self.translate_path(self.path)
    asked = self.headers.get("Range", "")
    Handler.requests.append((self.path, asked))
    try:
      with open(path, "rb") as file:
        content = file.read()
    except FileNotFoundError:
      self.send_error(404)
      return
    same = self.headers.get("If-Range", self.etag) == self.etag
    start = 0
    if asked and self.ranges and same:
      start = int(asked.removeprefix("bytes=").removesuffix("-"))
      if start >= len(content):
        self.send_response(416)
        self.send_header("Content-Range", f"bytes */{len(content)}")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return
      self.send_response(206)
    else:
      self.send_response(200)
    self.send_header("Content-Length", str(len(content) - start))
    self.send_header("ETag", self.etag)
    self.end_headers()
    if Handler.breaks:
      Handler.breaks -= 1
      stop = start + (len(content) - start) // 2
      self.wfile.write(content[start:stop])
      self.close_connection = True
      return
    self.wfile.write(content[start:])

  def log_message(self, *args):
    pass


@pytest.fixture
def server(tmp_path, monkeypatch):
  """The address of a folder `served`."""
  for name, value in (("breaks", 0), ("etag", '"one"'), ("ranges", True)):
    monkeypatch.setattr(Handler, name, value)
  monkeypatch.setattr(Handler, "requests", [])
  monkeypatch.setattr(download, "_pause", lambda seconds: None)
  served = tmp_path / "served"
  served.mkdir()
  (served / "big.bin").write_bytes(CONTENT)
  handler = functools.partial(Handler, directory=str(served))
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()


MD5 = hashlib.md5(CONTENT).hexdigest()


def test_interrupted_transfers_go_on(server, tmp_path):
  Handler.breaks = 2
  remote = download.Remote(f"{server}/big.bin", MD5)
  path = download.fetch(remote, tmp_path / "d")
  assert path == tmp_path / "d" / "big.bin"
  assert path.read_bytes() == CONTENT
  asked = [asked for _, asked in Handler.requests]
  assert asked[0] == "" and len(asked) == 3
  assert int(asked[1][6:-1]) <= len(CONTENT) // 2
  assert 0 < int(asked[1][6:-1]) < int(asked[2][6:-1])
  record = json.loads((tmp_path / "d" / "big.bin.json").read_text())
  assert record["md5"] == MD5 and record["size"] == len(CONTENT)
  download.fetch(remote, tmp_path / "d")
  assert len(Handler.requests) == 3


def test_a_later_run_goes_on(server, tmp_path, monkeypatch):
  remote = download.Remote(f"{server}/big.bin", MD5)
  monkeypatch.setattr(download, "_ATTEMPTS", 1)
  Handler.breaks = 1
  with pytest.raises(DataError, match=r"big\.bin\.part.* goes on from there"):
    download.fetch(remote, tmp_path)
  assert 0 < (tmp_path / "big.bin.part").stat().st_size < len(CONTENT)
  assert download.fetch(remote, tmp_path).read_bytes() == CONTENT
  assert Handler.requests[-1][1] != ""


def test_other_file_under_the_same_address_starts_again(
  server, tmp_path, monkeypatch
):
  remote = download.Remote(f"{server}/big.bin")
  monkeypatch.setattr(download, "_ATTEMPTS", 1)
  Handler.breaks = 1
  with pytest.raises(DataError):
    download.fetch(remote, tmp_path)
  other = CONTENT[::-1]
  (tmp_path / "served" / "big.bin").write_bytes(other)
  Handler.etag = '"two"'
  assert download.fetch(remote, tmp_path).read_bytes() == other


def test_server_without_ranges(server, tmp_path):
  Handler.breaks, Handler.ranges = 1, False
  remote = download.Remote(f"{server}/big.bin", MD5)
  assert download.fetch(remote, tmp_path).read_bytes() == CONTENT


def test_part_that_is_whole_already(server, tmp_path):
  (tmp_path / "big.bin.part").write_bytes(CONTENT)
  remote = download.Remote(f"{server}/big.bin", MD5)
  assert download.fetch(remote, tmp_path).read_bytes() == CONTENT
  (tmp_path / "big.bin").unlink()
  (tmp_path / "big.bin.part").write_bytes(CONTENT + b"more")
  assert download.fetch(remote, tmp_path).read_bytes() == CONTENT


def test_wrong_checksum_is_deleted(server, tmp_path):
  remote = download.Remote(f"{server}/big.bin", "0" * 32)
  with pytest.raises(DataError, match=f"MD5 is {MD5}, expected 0000"):
    download.fetch(remote, tmp_path / "d")
  assert [p.name for p in (tmp_path / "d").iterdir()] == [".big.bin.lock"]


def test_changed_file_is_noticed_without_a_published_checksum(server, tmp_path):
  remote = download.Remote(f"{server}/big.bin")
  path = download.fetch(remote, tmp_path)
  path.touch()
  download.fetch(remote, tmp_path)  # of another time, with the same bytes
  path.write_bytes(CONTENT[:-1] + b"x")
  with pytest.raises(
    DataError, match=r"MD5 is .* delete it and big\.bin\.json"
  ):
    download.fetch(remote, tmp_path)
  assert len(Handler.requests) == 1


def test_file_put_there_by_hand_is_checked(server, tmp_path):
  (tmp_path / "big.bin").write_bytes(CONTENT[1:])
  with pytest.raises(DataError, match="MD5 is"):
    download.fetch(download.Remote(f"{server}/big.bin", MD5), tmp_path)


def test_absent_file_is_not_asked_for_twice(server, tmp_path):
  with pytest.raises(DataError, match=r"none\.bin.*404.*by hand"):
    download.fetch(download.Remote(f"{server}/none.bin"), tmp_path)
  assert len(Handler.requests) == 1


def test_set_without_a_path_is_downloaded(server, tmp_path, monkeypatch):
  served = tmp_path / "served"
  published.msmarco_passage(served)
  names = [
    path.name
    for path in served.iterdir()
    if path.name not in ("big.bin", "qidpidtriples.train.full.2.tsv.gz")
  ]
  remotes = [download.Remote(f"{server}/{name}") for name in names]
  triples = download.Remote(f"{server}/qidpidtriples.train.full.2.tsv.gz")
  monkeypatch.setattr(msmarco_passage, "_REMOTES", tuple(remotes))
  monkeypatch.setattr(msmarco_passage, "_TRIPLES", triples)
  Handler.breaks = 1
  data = config.Data(name="msmarco_passage")
  found = dataset.locate(data, str(tmp_path / "data")).open()
  assert len(found.passages) == len(published.PASSAGES)
  downloads = tmp_path / "data" / "downloads" / "msmarco_passage"
  assert not (downloads / triples.name).exists()  # until it is asked for
  assert found.negative_rows("train").shape == (2, 3)
  assert (downloads / triples.name).exists()


def test_second_download_is_the_same_source(server, tmp_path, monkeypatch):
  monkeypatch.setattr(sources, "_HASHED_BYTES", 0)
  remote = download.Remote(f"{server}/big.bin", MD5)
  path = download.fetch(remote, tmp_path)
  first = sources.fingerprint([path], "")
  path.unlink()
  os.utime(download.fetch(remote, tmp_path), (1, 1))
  assert sources.fingerprint([path], "") != first  # touched since
  download.fetch(remote, tmp_path)
  assert sources.fingerprint([path], "") == first


@pytest.mark.parametrize("module", [msmarco_document, msmarco_passage, nq])
def test_addresses_are_of_files_that_are_looked_for(module):
  assert len({remote.name for remote in module._REMOTES}) > 3
  for remote in module._REMOTES:
    assert remote.url.startswith("https://")
    assert len(remote.md5) == (0 if remote.name == "nq-test.qa.csv" else 32)
    archives = getattr(module, "_ARCHIVES", {})
    name = remote.name.removesuffix(".gz")
    assert name in module.__doc__ or remote.name in archives
