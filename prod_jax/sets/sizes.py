"""Published sizes of the sets, to hold what was read against.

A set that is cut short in download or in unpacking still reads well; its
figures are then higher than anyone else's.
"""

from collections.abc import Mapping
from typing import NamedTuple

from absl import logging


class Size(NamedTuple):
  """How much text there is in a set.

  Attributes:
    passages: in the collection.
    queries: by split, those with a label or an answer.
    query_tokens, passage_tokens: of a text in the mean, with [CLS] and [SEP];
      0 where that is not known.
  """

  passages: int
  queries: Mapping[str, int]
  query_tokens: int = 0
  passage_tokens: int = 0


# MS MARCO: microsoft.github.io/msmarco (collections; 532,761 judgements of
# 502,939 training queries, 6,980 of dev.small; documents 367,013 and 5,193).
# Deep Learning tracks: judged queries, overviews of 2019 (arXiv 2003.07820: 43
# for either task) and 2020 (arXiv 2102.07662: 54 passage, 45 document).
# NQ: DPR, arXiv 2004.04906, section 4.1 (21,015,324 passages) and table 1
# (58,880, 6,515 and 3,610 questions).
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
  """The size of a set as its authors state it; None of the others."""
  return _SIZES.get(name)


def check(name: str, counted: Size) -> None:
  """Warns where a set is not of its published size."""
  published = published_size(name)
  if published is None:
    return
  differing = [
    f"{what} {found:,} instead of {wanted:,}"
    for what, found, wanted in [
      ("passages", counted.passages, published.passages),
      *(
        (f"{split} queries", counted.queries[split], wanted)
        for split, wanted in published.queries.items()
        if split in counted.queries
      ),
    ]
    if found != wanted
  ]
  if differing:
    logging.warning(
      "%s is not of its published size: %s; look at the files before quoting "
      "its figures",
      name,
      ", ".join(differing),
    )
