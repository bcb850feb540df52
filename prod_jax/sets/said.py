"""What is said of a set as it is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import logging

if TYPE_CHECKING:
  from prod_jax.sets.dataset import Dataset


def what_is_there(dataset: Dataset, took: float) -> None:
  """Counts passages, and queries with labels and without."""
  said = []
  for split, queries in dataset.queries.items():
    bare = sum(not any(query[2:]) for query in queries)
    said.append(f"{split} {len(queries)}")
    if bare:
      of_passages = len(dataset.made_of) if split == "train" else 0
      more = f", {of_passages} generated" if of_passages else ""
      said[-1] += f" ({bare} of them without labels{more})"
  logging.info(
    "%s: %d passages, queries %s; opened in %.1f s",
    dataset.name,
    len(dataset.passages),
    ", ".join(said),
    took,
  )


def own_documents(dataset: Dataset) -> None:
  """Says of a set that nobody knows that its queries may be its passages.

  Ids that are numbers can be the same by accident: it is the user's to say.
  """
  for split, queries in dataset.queries.items():
    if queries and all(query.id in dataset.row_of for query in queries):
      logging.info(
        "%s: all queries of split %s have the id of a passage; where they are "
        "these passages, data.own_documents=leave_out takes them out of their "
        "own rankings, and =keep says that they are not",
        dataset.name,
        split,
      )


def tests_in_train(dataset: Dataset) -> None:
  """Warns of queries that are learnt from, and measured by.

  They have the words of a labelled query of train, in any case.
  """
  learnt = {
    _words(q.text) for q in dataset.queries.get("train", ()) if any(q[2:])
  }
  for split, queries in dataset.queries.items():
    if split == "train":
      continue
    again = [q.id for q in queries if _words(q.text) in learnt]
    if again:
      logging.warning(
        "%s: %d of the %d queries of %s, such as %s, stand in train with "
        "labels, too: what is measured by them was learnt",
        dataset.name,
        len(again),
        len(queries),
        split,
        again[0],
      )


def _words(text: str) -> str:
  return " ".join(text.casefold().split())
