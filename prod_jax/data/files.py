"""Files of published sets: found in a folder, or downloaded into it.

A download goes on where it was cut off, by this process or an earlier one, and
is held against the MD5 that its publisher or ir_datasets states. Where none is
stated, the SHA-256 of the first download is what later uses are held against:
it is kept in a file NAME.json beside it, as it is for all, with the size and
the time of change by which an unchanged file is known without reading it.
Which files a set has is datasets/.
"""

import contextlib
import fcntl
import hashlib
import json
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import requests
import tqdm
from absl import logging

from prod_jax.data.lines import Member, Source
from prod_jax.data.records import DataError

_ATTEMPTS = 6
_HASHED = 1 << 20  # bytes at once
_RECEIVED = 1 << 16  # the same; what a broken connection loses at most
_TIMEOUT = 60  # seconds without a byte
_HEADERS = {
  "Accept-Encoding": "identity",  # a .gz stays one
  # Azure, where MS MARCO lies, answers ranges only in newer versions of its
  # protocol; other servers pass over this.
  "x-ms-version": "2019-12-12",
}


# Names of archives, with the names of the files in each.
Archives = Mapping[str, Sequence[str]]
_NONE: Archives = {}


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


class Labels(NamedTuple):
  """Files of a split.

  Attributes:
    queries: names of the file of texts; the first that is there counts.
    qrels: name of the file of judgements.
  """

  queries: tuple[str, ...]
  qrels: str


def locate(
  folder: pathlib.Path, name: str, archives: Archives = _NONE
) -> Source | None:
  """The file, with `.gz` at the end, or in an archive that has it; else None.

  Args:
    folder: to look in.
    name: of the file.
    archives: names of archives and of what is in them.
  """
  for path in (folder / name, folder / f"{name}.gz"):
    if path.is_file():
      return path
  for archive, names in archives.items():
    if name in names and (folder / archive).is_file():
      return Member(folder / archive, name)
  return None


def require(
  folder: pathlib.Path, *names: str, archives: Archives = _NONE
) -> Source:
  """The first of some files that is there, or else DataError."""
  for name in names:
    if (found := locate(folder, name, archives)) is not None:
      return found
  holders = [a for a, inside in archives.items() if set(names) & set(inside)]
  places = " or ".join([*names, *(f"{name}.gz" for name in names), *holders])
  raise DataError(f"{folder}: expected a file {places} in it")


def labelled(
  folder: pathlib.Path,
  splits: Mapping[str, Labels],
  archives: Archives = _NONE,
) -> dict[str, tuple[Source, Source]]:
  """Files of queries and judgements of the splits whose judgements are there.

  Raises:
    DataError: there is no such split, or one has no queries.
  """
  found = {}
  for split, (queries, qrels) in splits.items():
    judged = locate(folder, qrels, archives)
    if judged is not None:
      found[split] = require(folder, *queries, archives=archives), judged
  if not found:
    names = " or ".join(labels.qrels for labels in splits.values())
    raise DataError(
      f"{folder}: expected a file {names} in it, with its queries"
    )
  return found


def on_disk(source: Source) -> pathlib.Path:
  """The file that a source is, or is in."""
  return source.archive if isinstance(source, Member) else source


def folder_of(
  path: str, downloads: pathlib.Path, remotes: Sequence[Remote]
) -> pathlib.Path:
  """The folder that the user named, or the one with all downloads.

  Raises:
    DataError: there is none, or a download fails.
  """
  if not path:
    for remote in remotes:
      fetch(remote, downloads)
    return downloads
  folder = pathlib.Path(path).resolve()
  if not folder.is_dir():
    raise DataError(f"{path}: data.path is no folder")
  return folder


def fetch(remote: Remote, folder: pathlib.Path) -> pathlib.Path:
  """Downloads a file unless it is there already.

  Raises:
    DataError: it cannot be had, or is not what it should be.
  """
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / remote.name
  with _alone(folder, remote.name):
    if path.is_file():
      _check_again(path, remote)
      return path
    part = folder / f"{remote.name}.part"
    _download(remote, part)
    record = _digests(part)
    if remote.md5 and record["md5"] != remote.md5:
      part.unlink()
      raise DataError(
        f"{remote.url}: its MD5 is {record['md5']}, expected {remote.md5}; the "
        "download was deleted. Run again, or fetch the files by hand and name "
        "their folder as data.path"
      )
    part.rename(path)
    _record(path, remote, record)
  return path


def _download(remote: Remote, part: pathlib.Path) -> None:
  """Tries several times, each from where the last one ended."""
  for attempt in range(1, _ATTEMPTS + 1):
    try:
      _transfer(remote, part)
      return
    except requests.RequestException as error:
      status = getattr(error.response, "status_code", 0)
      if attempt == _ATTEMPTS or 400 <= status < 500:
        raise DataError(
          f"{remote.url}: cannot be downloaded ({error}); what came is in "
          f"{part}, and the next run goes on from there. Or fetch the file by "
          f"hand into {part.parent}"
        ) from error
      logging.warning("%s: %s; going on", remote.url, error)
      _pause(2.0**attempt)


def _transfer(remote: Remote, part: pathlib.Path) -> None:
  """One request for what is missing, appended to the part."""
  tag = part.with_name(f"{part.name}.etag")
  have = part.stat().st_size if part.exists() else 0
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
      part.unlink()
      raise requests.ConnectionError("the part is longer than the file")
    response.raise_for_status()
    if response.status_code != 206:
      have = 0
    if etag := response.headers.get("ETag"):
      tag.write_text(etag)
    size = have + int(response.headers.get("Content-Length", 0))
    with (
      open(part, "ab" if have else "wb") as file,
      tqdm.tqdm(
        total=size,
        initial=have,
        desc=remote.name,
        unit="B",
        unit_scale=True,
        disable=None,
      ) as bar,
    ):
      for chunk in response.iter_content(_RECEIVED):
        file.write(chunk)
        have += len(chunk)
        bar.update(len(chunk))
        if bar.disable:
          logging.log_every_n_seconds(
            logging.INFO,
            "%s: %.2f of %.2f GiB",
            60,
            remote.name,
            have / 2**30,
            size / 2**30,
          )
  tag.unlink(missing_ok=True)


def _check_again(path: pathlib.Path, remote: Remote) -> None:
  """Holds a file that is there against what is known of it."""
  stat = path.stat()
  known = {"md5": remote.md5} if remote.md5 else {}
  with contextlib.suppress(FileNotFoundError):
    known |= json.loads(_record_path(path).read_text())
  if (known.get("size"), known.get("changed")) == (
    stat.st_size,
    stat.st_mtime_ns,
  ):
    return
  found = _digests(path)
  for kind in ("md5", "sha256"):
    if known.get(kind, found[kind]) != found[kind]:
      raise DataError(
        f"{path}: its {kind.upper()} is {found[kind]}, expected {known[kind]}; "
        f"delete it and {_record_path(path).name} to download it again"
      )
  _record(path, remote, found)


def _record(
  path: pathlib.Path, remote: Remote, digests: dict[str, str]
) -> None:
  stat = path.stat()
  about = {
    "url": remote.url,
    "size": stat.st_size,
    "changed": stat.st_mtime_ns,
    **digests,
  }
  _record_path(path).write_text(json.dumps(about, indent=2))


def _record_path(path: pathlib.Path) -> pathlib.Path:
  return path.with_name(f"{path.name}.json")


def _digests(path: pathlib.Path) -> dict[str, str]:
  md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
  with open(path, "rb") as file:
    while chunk := file.read(_HASHED):
      md5.update(chunk)
      sha256.update(chunk)
  return {"md5": md5.hexdigest(), "sha256": sha256.hexdigest()}


@contextlib.contextmanager
def _alone(folder: pathlib.Path, name: str) -> Iterator[None]:
  """Waits until no other process downloads this file."""
  with open(folder / f".{name}.lock", "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield


def _pause(seconds: float) -> None:
  time.sleep(seconds)
