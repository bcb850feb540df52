"""Downloads that go on where they broke off, and are held against a checksum.

By this process or by an earlier one. The checksum is the MD5 that the
publisher or ir_datasets states. Where none is stated, the SHA-256 of the first
download is what later uses are held against: it is kept in a file NAME.json
beside it, as it is for all, with the size and the time of change by which an
unchanged file is known without reading it. Which files a set has is datasets/.
"""

import hashlib
import json
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from absl import logging

from prod_jax import json_files, locks, progress, storage
from prod_jax.sets.records import DataError

_ATTEMPTS = 6
_HASHED = 1 << 20  # bytes at once
_RECEIVED = 1 << 16  # the same; what a broken connection loses at most
_TIMEOUT = 60  # seconds without a byte
_RECORD = {"size": int, "changed": int, "sha256": str, "md5?": str}
_HEADERS = {
  "Accept-Encoding": "identity",  # a .gz stays one
  # Azure, where MS MARCO lies, answers ranges only in newer versions of its
  # protocol; other servers pass over this.
  "x-ms-version": "2019-12-12",
}


class Remote(NamedTuple):
  """A file to download.

  Attributes:
    url: of it; its last part is the file's name.
    md5: of its bytes, "" where nobody states it.
  """

  url: str
  md5: str = ""

  @property
  def name(self) -> str:
    return self.url.rpartition("/")[2]


class Downloads(NamedTuple):
  """Where the downloads of a set are.

  Attributes:
    folder: of them.
    may_fetch: whether what is not there may be fetched now.
  """

  folder: pathlib.Path
  may_fetch: bool = True


class NotDownloaded(DataError):
  """A file that nobody has fetched yet, where none may be fetched."""


def folder_of(
  path: str, downloads: Downloads, remotes: Sequence[Remote]
) -> pathlib.Path:
  """The folder that the user named, or the one with all downloads.

  Raises:
    NotDownloaded: one of them is not there and may not be fetched.
    DataError: there is none, or a download fails.
  """
  if not path:
    for remote in remotes:
      if downloads.may_fetch:
        fetch(remote, downloads.folder)
      elif not recorded(downloads.folder / remote.name):
        raise NotDownloaded(f"{remote.url} is not downloaded yet")
    return downloads.folder
  if not pathlib.Path(path).is_dir():
    raise DataError(f"{path}: data.path is no folder")
  return pathlib.Path(path).resolve()


def recorded(path: pathlib.Path) -> str:
  """The SHA-256 of an unchanged download, "" where there is no record of it."""
  known = _read_record(path) if path.is_file() else {}
  there = known and _is_unchanged(path, known)
  return known["sha256"] if there else ""


def fetch(remote: Remote, folder: pathlib.Path) -> pathlib.Path:
  """Downloads a file unless it is there already.

  Raises:
    DataError: it cannot be had, or is not what it should be.
  """
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / remote.name
  with locks.alone(folder, remote.name):
    if path.is_file():
      _check_again(path, remote)
      return path
    with storage.whole_file(path) as part:
      _download(remote, part)
      record = _digests(part)
      if remote.md5 and record["md5"] != remote.md5:
        part.unlink()
        raise DataError(
          f"{remote.url}: its MD5 is {record['md5']}, expected {remote.md5}; "
          "the download was deleted. Run again, or fetch the files by hand and "
          "name their folder as data.path"
        )
    _record(path, remote, record)
  return path


def _download(remote: Remote, partial: pathlib.Path) -> None:
  """Tries several times, each from where the last one ended."""
  import requests  # 40 modules, which no data set that is there needs

  for attempt in range(1, _ATTEMPTS + 1):
    try:
      _transfer(remote, partial)
      return
    except requests.RequestException as error:
      status = getattr(error.response, "status_code", 0)
      if attempt == _ATTEMPTS or 400 <= status < 500:
        raise DataError(
          f"{remote.url}: cannot be downloaded ({error}); what came is in "
          f"{partial}, and the next run goes on from there. Or fetch the file "
          f"by hand into {partial.parent}"
        ) from error
      logging.warning("%s: %s; going on", remote.url, error)
      _pause(2.0**attempt)


def _transfer(remote: Remote, partial: pathlib.Path) -> None:
  """One request for what is missing, appended to the part."""
  import requests

  tag = partial.with_name(f"{partial.name}.etag")
  have = partial.stat().st_size if partial.exists() else 0
  headers = dict(_HEADERS)
  if have:
    headers["Range"] = f"bytes={have}-"
    if tag.exists():
      headers["If-Range"] = tag.read_text()  # all of it, if it is another file
  with requests.get(
    remote.url, headers=headers, stream=True, timeout=_TIMEOUT
  ) as response:
    if response.status_code == 416:  # nothing is missing, or the part is wrong
      if response.headers.get("Content-Range", "").endswith(f"/{have}"):
        return
      partial.unlink()
      raise requests.ConnectionError("the part is longer than the file")
    response.raise_for_status()
    if response.status_code != 206:
      have = 0
    if etag := response.headers.get("ETag"):
      storage.write_text(tag, etag)
    size = have + int(response.headers.get("Content-Length", 0))
    with (
      open(partial, "ab" if have else "wb") as file,
      progress.Meter(
        remote.name, size, "B", unit_scale=True, initial=have
      ) as meter,
    ):
      for chunk in response.iter_content(_RECEIVED):
        file.write(chunk)
        meter.add(len(chunk))
  tag.unlink(missing_ok=True)


def _check_again(path: pathlib.Path, remote: Remote) -> None:
  """Holds a file that is there against what is known of it."""
  known = _read_record(path)
  if _is_unchanged(path, known):
    return
  if remote.md5:
    known["md5"] = remote.md5
  found = _digests(path)
  for kind in ("md5", "sha256"):
    if known.get(kind, found[kind]) != found[kind]:
      raise DataError(
        f"{path}: its {kind.upper()} is {found[kind]}, expected {known[kind]}; "
        f"delete it and {_record_path(path).name} to download it again"
      )
  _record(path, remote, found)


def _is_unchanged(path: pathlib.Path, known: Mapping[str, Any]) -> bool:
  stat = path.stat()
  return (known.get("size"), known.get("changed")) == (
    stat.st_size,
    stat.st_mtime_ns,
  )


def _read_record(path: pathlib.Path) -> dict[str, Any]:
  record = _record_path(path)
  if not record.exists():
    return {}
  remedy = f"delete it and {path.name} to download that again"
  return json_files.read(record, _RECORD, remedy, DataError)


def _record(
  path: pathlib.Path, remote: Remote, digests: dict[str, str]
) -> None:
  stat = path.stat()
  record = {
    "url": remote.url,
    "size": stat.st_size,
    "changed": stat.st_mtime_ns,
    **digests,
  }
  storage.write_text(_record_path(path), json.dumps(record, indent=2))


def _record_path(path: pathlib.Path) -> pathlib.Path:
  return path.with_name(f"{path.name}.json")


def _digests(path: pathlib.Path) -> dict[str, str]:
  md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
  with open(path, "rb") as file:
    while chunk := file.read(_HASHED):
      md5.update(chunk)
      sha256.update(chunk)
  return {"md5": md5.hexdigest(), "sha256": sha256.hexdigest()}


def _pause(seconds: float) -> None:
  time.sleep(seconds)
