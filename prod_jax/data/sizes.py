"""How large the published data sets are, for who has not got them.

What a set on this machine holds is counted in dataset.py.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Size(NamedTuple):
  """Attributes:
  passages: of the collection.
  queries: with a label, by split.
  """

  passages: int
  queries: Mapping[str, int]


# microsoft.github.io/msmarco: collections, and the queries of qrels files.
# TREC DL: the queries that were judged, arXiv 2003.07820 and 2102.07662.
# NQ: the Wikipedia passages and the splits of DPR, arXiv 2004.04906.
_SIZES = {
  "msmarco_passage": Size(
    8_841_823, {"train": 502_939, "dev": 6_980, "dl19": 43, "dl20": 54}
  ),
  "msmarco_document": Size(
    3_213_835, {"train": 367_013, "dev": 5_193, "dl19": 43, "dl20": 45}
  ),
  "nq": Size(21_015_324, {"train": 58_880, "dev": 6_515, "test": 3_610}),
}


def published_size(name: str) -> Size | None:
  """The size of a data set by its name, None where it is not known."""
  return _SIZES.get(name)
