"""A hub on this machine, for the client of requirements.lock.

It speaks what `huggingface_hub` asks of a hub when it fetches a model or sends
a folder. Repositories and their commits are kept in memory. Large files lie in
a storage that is another host, to which no token goes, or in Xet's chunks,
which the client reads and writes in a folder.
"""

import base64
import contextlib
import dataclasses
import hashlib
import http.server
import json
import pathlib
import re
import struct
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import hf_xet

WRITES, READS = "hf_of_one_who_writes", "hf_of_one_who_reads"
# As the attributes of a new repository say it.
_LARGE = (".safetensors", ".onnx")


class Fault(NamedTuple):
  """What goes wrong.

  Attributes:
    method: of the request.
    path: a regular expression of a part of its path.
    status: of the answer; 0 where only a part of it is sent.
    after: the bytes of that part.
    honest: whether the answer says that there are no more.
    echoes: whether it says what it was sent as a token.
    flips: whether it is sent as a whole, but for a bit.
  """

  method: str
  path: str
  status: int = 0
  after: int = 0
  honest: bool = False
  echoes: bool = False
  flips: bool = False


@dataclasses.dataclass
class Repository:
  """A repository, with the files of each commit."""

  commits: dict[str, dict[str, bytes]] = dataclasses.field(default_factory=dict)
  refs: dict[str, str] = dataclasses.field(default_factory=dict)
  private: bool = False
  gated: bool = False

  def commit(self, files: Mapping[str, bytes], *refs: str) -> str:
    """Adds a commit that branches or tags point at."""
    named = {path: _git_hash(content) for path, content in files.items()}
    said = json.dumps([len(self.commits), named])
    sha = hashlib.sha1(said.encode()).hexdigest()
    self.commits[sha] = dict(files)
    self.refs |= dict.fromkeys(refs, sha)
    return sha

  @property
  def files(self) -> dict[str, bytes]:
    """Those of the newest commit."""
    return self.commits[self.refs["main"]]


class Hub:
  """All that a hub holds, and what was asked of it."""

  def __init__(self, chunks: pathlib.Path) -> None:
    self.chunks = chunks
    self.repositories: dict[str, Repository] = {}
    self.stored: dict[str, bytes] = {}
    self.faults: list[Fault] = []
    self.asked: list[str] = []
    self.ranges: list[str] = []
    self.tokens: list[tuple[str, str]] = []  # of whom, for which host
    self.url = self.storage = ""

  def add(
    self, name: str, folder: pathlib.Path, *refs: str, **kept: bool
  ) -> Repository:
    """A repository with the files of a folder."""
    repository = Repository(**kept)
    repository.commit(files_of(folder), "main", *refs)
    self.repositories[name] = repository
    return repository

  def chunked(self) -> dict[str, str]:
    """The name among the chunks of each large file that lies there, by SHA-256.

    As the list of a shard has it: of each file a row of its own, one a range
    of chunks, perhaps as many again to verify them, and one of its SHA-256.
    """
    found = {}
    for path in self.chunks.rglob("xorbs/shards/*.mdb"):
      shard, at = path.read_bytes(), _ROW
      while (name := _name_at(shard, at)) != "f" * 64:
        flags, ranges = struct.unpack_from("<II", shard, at + 32)
        at += _ROW * (1 + ranges * (2 if flags >> 31 else 1))
        found[_name_at(shard, at)] = name
        at += _ROW
    return found

  def content(self, oid: str, size: int) -> bytes:
    """A large file that was sent before."""
    if oid in self.stored:
      return self.stored[oid]
    group = hf_xet.XetSession().new_download_stream_group(
      endpoint=f"local://{self.chunks}"
    )
    name = self.chunked()[oid]
    return b"".join(group.download_stream(hf_xet.XetFileInfo(name, size)))


_ROW = 48  # bytes of a shard's list


def _name_at(shard: bytes, at: int) -> str:
  return "".join(
    f"{word:016x}" for word in struct.unpack_from("<4Q", shard, at)
  )


def files_of(folder: pathlib.Path) -> dict[str, bytes]:
  """The files of a folder by the names that a hub gives them."""
  return {
    path.relative_to(folder).as_posix(): path.read_bytes()
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  }


@contextlib.contextmanager
def running(chunks: pathlib.Path) -> Iterator[Hub]:
  """A hub that answers on a port of this machine.

  Args:
    chunks: the folder for those of Xet.
  """
  hub = Hub(chunks)
  handler = type("Handler", (_Handler,), {"hub": hub})
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    hub.storage = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
      yield hub
    finally:
      server.shutdown()
      thread.join()


class _Refused(Exception):
  """An answer that is an error: status, code and message of the hub."""


class _Handler(http.server.BaseHTTPRequestHandler):
  """Answers requests."""

  hub: Hub
  protocol_version = "HTTP/1.1"

  def log_message(self, *_: Any) -> None:
    """Says nothing on standard error."""

  def do_GET(self) -> None:
    self._answer()

  do_HEAD = do_POST = do_PUT = do_GET

  def _answer(self) -> None:
    length = int(self.headers.get("Content-Length", 0))
    body = self.rfile.read(length)
    address = urllib.parse.urlsplit(self.path)
    self.at = urllib.parse.unquote(address.path)
    self.hub.asked.append(f"{self.command} {self.at}")
    host = self.headers["Host"].partition(":")[0]
    self.token = self.headers.get("Authorization", "").removeprefix("Bearer ")
    if self.token:
      self.hub.tokens.append((self.token, host))
    self.fault: Fault | None = None
    try:
      self._fail()
      if self.token not in ("", WRITES, READS):
        raise _Refused(401, "", "Invalid credentials in Authorization header")
      for method, pattern, answer in _ANSWERS:
        found = re.fullmatch(pattern, self.at)
        if found and self.command in method:
          answer(self, body, **found.groupdict())
          return
      raise _Refused(404, "", f"no {self.command} {self.at}")
    except _Refused as refused:
      self._refuse(*refused.args)
    except Exception as error:  # ours; the client does not ask again
      self._refuse(400, "", f"{self.command} {self.at}: {error!r}")

  def _fail(self) -> None:
    """Fails as a test wants it to, once."""
    for fault in self.hub.faults:
      if fault.method == self.command and re.search(fault.path, self.at):
        self.hub.faults.remove(fault)
        if fault.status:
          of = f" of Bearer {self.token}" if fault.echoes else ""
          raise _Refused(fault.status, "", f"the test wants it{of}")
        self.fault = fault
        return

  def _refuse(self, status: int, code: str, message: str) -> None:
    said = {"X-Error-Message": message} | (
      {"X-Error-Code": code} if code else {}
    )
    self._say({"error": message}, status, said)

  def _say(
    self,
    value: Any,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
  ) -> None:
    self._send(json.dumps(value).encode(), status, headers or {})

  def _send(
    self, content: bytes, status: int, headers: Mapping[str, str]
  ) -> None:
    part = content
    if self.fault and self.fault.flips:
      part = content[:-1] + bytes([content[-1] ^ 1])
    elif self.fault:
      part = content[: self.fault.after]
    said = part if self.fault and self.fault.honest else content
    self.send_response(status)
    for name, value in headers.items():
      self.send_header(name, value)
    self.send_header("Content-Length", str(len(said)))
    self.end_headers()
    if self.command != "HEAD":
      self.wfile.write(part)
    self.close_connection |= bool(self.fault)

  def _repository(self, name: str) -> Repository:
    repository = self.hub.repositories.get(name)
    if repository is None or (repository.private and not self.token):
      # Who is nobody is not told whether there is one.
      status = 404 if self.token else 401
      raise _Refused(status, "RepoNotFound", "Repository not found")
    return repository

  def _files(self, name: str, revision: str) -> tuple[str, dict[str, bytes]]:
    repository = self._repository(name)
    sha = repository.refs.get(revision, revision)
    if sha not in repository.commits:
      raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    return sha, repository.commits[sha]

  def _writes(self) -> None:
    if not self.token:
      raise _Refused(401, "", "Invalid username or password.")
    if self.token != WRITES:
      raise _Refused(403, "", "you must use a write token")

  # What is asked for in order to fetch.

  def info(self, _: bytes, name: str, revision: str | None) -> None:
    sha, files = self._files(name, revision or "main")
    named = [{"rfilename": path} for path in files]
    said = {"private": self._repository(name).private, "siblings": named}
    self._say({"id": name, "sha": sha, **said})

  def tree(self, _: bytes, name: str, revision: str) -> None:
    listed, chunked = [], self.hub.chunked()
    for path, content in self._files(name, revision)[1].items():
      entry = {"type": "file", "path": path, "size": len(content)}
      entry["oid"] = _git_hash(content)
      if path.endswith(_LARGE):
        oid = sha256(content)
        large = {"oid": oid, "size": len(content), "pointerSize": 130}
        entry |= {"lfs": large, "xetHash": chunked.get(oid)}
      listed.append(entry)
    self._say(listed)

  def resolve(self, _: bytes, name: str, revision: str, path: str) -> None:
    sha, files = self._files(name, revision)
    if self._repository(name).gated and self.token != WRITES:
      status = 403 if self.token else 401
      raise _Refused(status, "GatedRepo", f"Access to {name} is restricted")
    if path not in files:
      raise _Refused(404, "EntryNotFound", f"{path} does not exist")
    content = files[path]
    headers = {"X-Repo-Commit": sha, "ETag": f'"{_git_hash(content)}"'}
    if not path.endswith(_LARGE):
      self._send_file(content, headers)
      return
    oid = sha256(content)
    self.hub.stored[oid] = content
    self._send(
      b"",
      302,
      headers
      | {
        "X-Linked-ETag": f'"{oid}"',
        "X-Linked-Size": str(len(content)),
        "Location": f"{self.hub.storage}/stored/{oid}",
      },
    )

  def xet(self, _: bytes, name: str, way: str, revision: str) -> None:
    if way == "write":
      self._writes()
    self._files(name, revision)
    said = {
      "casUrl": f"local://{self.hub.chunks}",
      "accessToken": "of the chunks alone",
      "exp": int(time.time()) + 3600,
    }
    headers = {
      "X-Xet-Cas-Url": said["casUrl"],
      "X-Xet-Access-Token": said["accessToken"],
      "X-Xet-Token-Expiration": str(said["exp"]),
    }
    self._say(said, headers=headers)

  def stored(self, _: bytes, oid: str) -> None:
    self._send_file(self.hub.stored[oid], {"ETag": f'"{oid}"'})

  def _send_file(self, content: bytes, headers: Mapping[str, str]) -> None:
    """Sends a file, or that part of it which is asked for."""
    wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
    if not wanted:
      self._send(content, 200, headers)
      return
    self.hub.ranges.append(wanted[0])
    start, end = int(wanted[1]), len(content)
    said = {"Content-Range": f"bytes {start}-{end - 1}/{end}"}
    self._send(content[start:], 206, {**headers, **said})

  # What is asked for in order to send.

  def create(self, body: bytes) -> None:
    self._writes()
    asked = json.loads(body)
    name = f"{asked['organization']}/{asked['name']}"
    said = {"url": f"{self.hub.url}/{name}"}
    if name in self.hub.repositories:
      self._say(said | {"error": "You already created this model repo"}, 409)
      return
    made = Repository(private=asked.get("visibility") == "private")
    made.commit({".gitattributes": b"*.safetensors filter=lfs\n"}, "main")
    self.hub.repositories[name] = made
    self._say(said)

  def validate(self, body: bytes) -> None:
    front = json.loads(body)["content"].split("---\n")[1]
    known = {"library_name", "pipeline_tag", "license", "tags"}
    keys = {line.partition(":")[0] for line in front.splitlines()}
    missing = [{"message": f"no {key}"} for key in sorted(known - keys)]
    self._say({"errors": [], "warnings": missing})

  def preupload(self, body: bytes, name: str, revision: str) -> None:
    self._writes()
    files, said = self._files(name, revision)[1], []
    for asked in json.loads(body)["files"]:
      path = asked["path"]
      large = path.endswith(_LARGE)
      answer = {"path": path, "uploadMode": "lfs" if large else "regular"}
      if path in files:
        answer["oid"] = (sha256 if large else _git_hash)(files[path])
      said.append(answer | {"shouldIgnore": False})
    self._say({"files": said})

  def batch(self, body: bytes, name: str) -> None:
    self._writes()
    self._repository(name)
    objects = []
    for large in json.loads(body)["objects"]:
      address = f"{self.hub.storage}/stored/{large['oid']}"
      verify = {"href": f"{self.hub.url}/{name}/verify"}
      if large["oid"] not in self.hub.stored:
        actions = {"upload": {"href": address}, "verify": verify}
        large = {**large, "actions": actions}
      objects.append(large)
    self._say({"transfer": "basic", "objects": objects})

  def store(self, body: bytes, oid: str) -> None:
    if sha256(body) != oid:
      raise _Refused(400, "", "other bytes than were announced")
    self.hub.stored[oid] = body
    self._send(b"", 200, {})

  def verify(self, body: bytes, name: str) -> None:
    asked = json.loads(body)
    if len(self.hub.stored.get(asked["oid"], b"")) != asked["size"]:
      raise _Refused(404, "", f"{name} has no such object")
    self._say({})

  def commit(self, body: bytes, name: str, revision: str) -> None:
    self._writes()
    files = dict(self._files(name, revision)[1])
    for line in body.splitlines():
      said = json.loads(line)
      value = said["value"]
      match said["key"]:
        case "file":
          files[value["path"]] = base64.b64decode(value["content"])
        case "lfsFile":
          content = self.hub.content(value["oid"], value["size"])
          assert sha256(content) == value["oid"]
          files[value["path"]] = content
        case "deletedFile":
          del files[value["path"]]
    sha = self._repository(name).commit(files, revision)
    url = f"{self.hub.url}/{name}/commit/{sha}"
    self._say({"success": True, "commitOid": sha, "commitUrl": url})


def sha256(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()


def _git_hash(content: bytes) -> str:
  return hashlib.sha1(b"blob %d\0%s" % (len(content), content)).hexdigest()


_NAME = r"(?P<name>[\w.-]+/[\w.-]+)"
_REVISION = r"(?P<revision>.+)"
_ANSWERS = (
  (("GET",), f"/api/models/{_NAME}(/revision/{_REVISION})?", _Handler.info),
  (("GET",), f"/api/models/{_NAME}/tree/{_REVISION}", _Handler.tree),
  (
    ("GET", "HEAD"),
    rf"/{_NAME}/resolve/(?P<revision>\w+)/(?P<path>.+)",
    _Handler.resolve,
  ),
  (
    ("GET",),
    f"/api/models/{_NAME}/xet-(?P<way>read|write)-token/{_REVISION}",
    _Handler.xet,
  ),
  (("GET",), r"/stored/(?P<oid>\w+)", _Handler.stored),
  (("POST",), "/api/repos/create", _Handler.create),
  (("POST",), "/api/validate-yaml", _Handler.validate),
  (
    ("POST",),
    f"/api/models/{_NAME}/preupload/{_REVISION}",
    _Handler.preupload,
  ),
  (("POST",), rf"/{_NAME}\.git/info/lfs/objects/batch", _Handler.batch),
  (("PUT",), r"/stored/(?P<oid>\w+)", _Handler.store),
  (("POST",), f"/{_NAME}/verify", _Handler.verify),
  (("POST",), f"/api/models/{_NAME}/commit/{_REVISION}", _Handler.commit),
)
