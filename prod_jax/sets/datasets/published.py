"""A retrieval set in the form in which it was published.

What a builder's file says of its set: where the texts, labels and negatives
are, and how they are read. How they are then kept is layout.py.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from prod_jax import packaged
from prod_jax.sets import collection, download, ids, lines
from prod_jax.sets.negatives import Found
from prod_jax.sets.records import Passage, Query

Kind = Literal["passages", "queries"]

# Above this size a file is known by its name, size and time of change: the
# content of MS MARCO would take longer to hash than a stage takes to start.
_HASHED_BYTES = 256 << 20


@dataclasses.dataclass(frozen=True)
class Source:
  """A retrieval set in the form in which it was published.

  Attributes:
    name: of the set.
    builder: the TFDS builder, made of the functions below.
    configs: names of its two configs, each with a fingerprint of the files.
    passages: reads the passages.
    queries: reads the queries of each split, given the known passages.
    negatives: by split, finds the negatives that came with the set.
    judged: by split, finds the passages that were judged to be irrelevant.
    labels: by split, the file of judgements, where that has grades.
    answers: queries carry answers.
  """

  name: str
  builder: type
  configs: Mapping[Kind, str]
  passages: Callable[[], collection.Collection | Sequence[Passage]]
  queries: Callable[[ids.RowOf], Mapping[str, Sequence[Query]]]
  negatives: Mapping[str, Callable[[], Found]] = dataclasses.field(
    default_factory=dict
  )
  judged: Mapping[str, Callable[[], Found]] = dataclasses.field(
    default_factory=dict
  )
  labels: Mapping[str, lines.Source] = dataclasses.field(default_factory=dict)
  answers: bool = False


def configs(
  texts: Sequence[lines.Source],
  labels: Sequence[lines.Source],
  settings: str,
  slug: str = "",
) -> dict[Kind, str]:
  """Names of the two configs.

  Args:
    texts: files of the passages.
    labels: files of queries and judgements.
    settings: what else decides the result.
    slug: to begin with.
  """
  start = f"{slug}-" if slug else ""
  # Labels of passages that are not there are kept since a later version.
  of_labels = settings.replace("skip", "skip, missed")
  return {
    "passages": f"{start}passages-{fingerprint(texts, settings)}",
    "queries": f"{start}queries-{fingerprint([*texts, *labels], of_labels)}",
  }


def fingerprint(sources: Sequence[lines.Source], settings: str) -> str:
  """Changes with any of the files, and with what else decides the result."""
  digest = hashlib.sha256(settings.encode())
  for file in dict.fromkeys(map(lines.on_disk, sources)):
    stat = file.stat()
    small = stat.st_size <= _HASHED_BYTES
    # A second download is the same file at another time.
    known_by = download.recorded(file) or (
      packaged.sha256(file) if small else stat.st_mtime_ns
    )
    digest.update(f"\n{file.name} {stat.st_size} {known_by}".encode())
  return digest.hexdigest()[:16]
