"""What one JSON object, or one row of a table, says of a query.

Either of one passage: `query_id`, `passage_id`, `score`; or of several: `query`
with `pos` and `neg`. Each goes by several names, which are those below. A
passage is an id, a text, or an object with these. Formats:

  FlagEmbedding          query, pos, neg, pos_scores, neg_scores, pos_id, neg_id
  Tevatron               query_id, query, positive_passages, negative_passages,
                         of docid, title, text; or positive_document_ids,
                         negative_document_ids
  sentence-transformers  anchor or query, positive, negative, or negative_1, …,
                         with a list of scores beside them; anchor, a passage
                         or a list of them, and labels or scores; and qid, pos,
                         neg of its MS MARCO negatives, by the system that found
                         them
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

_QUERY_IDS = ("query_id", "query-id", "qid", "queryid")
_QUERY_TEXTS = ("query", "anchor", "question", "query_text")
_PASSAGE_IDS = (
  "passage_id",
  "passage-id",
  "pid",
  "docid",
  "doc_id",
  "document_id",
  "corpus_id",
  "corpus-id",
)
_PASSAGE_TEXTS = ("passage", "document", "doc", "text", "answer", "docs")
SCORES = ("score", "scores", "ce-score", "ce_score")
_LABELS = ("label", "labels")
_POSITIVES = (
  "pos",
  "positive",
  "positives",
  "positive_passages",
  "positive_document_ids",
)
_NEGATIVES = (
  "neg",
  "negative",
  "negatives",
  "negative_passages",
  "negative_document_ids",
)
_SIDES = (
  (1, ("pos_id", "pos_ids"), ("pos_scores", "pos.score")),
  (-1, ("neg_id", "neg_ids"), ("neg_scores", "neg.score")),
)
_NUMBERED = "negative_"

_MOST = 3.4e38  # of float32, as scores are kept
POSITIVE, NEGATIVE, NEITHER = 1, -1, 0


class Odd(ValueError):
  """An object that says nothing of the kind; tells what is missing or wrong."""


class Ref(NamedTuple):
  """A query or a passage, by id or by text; what is not given is ""."""

  id: str = ""
  text: str = ""
  title: str = ""


class Said(NamedTuple):
  """What is said of one passage.

  Attributes:
    query, passage: which ones.
    score: NaN where there is none.
    role: POSITIVE, NEGATIVE or NEITHER.
  """

  query: Ref
  passage: Ref
  score: float = math.nan
  role: int = NEITHER


def header(columns: Sequence[str]) -> tuple[int, int, int | None] | None:
  """Where query id, passage id and score stand, if these are their names."""
  found = [
    next((i for i, c in enumerate(columns) if c.lower() in names), None)
    for names in (
      _QUERY_IDS + _QUERY_TEXTS,
      _PASSAGE_IDS + _PASSAGE_TEXTS,
      SCORES,
    )
  ]
  query, passage, score = found
  return None if query is None or passage is None else (query, passage, score)


def said(record: Any) -> list[Said]:
  """All that an object says.

  Raises:
    Odd: it is none of these.
  """
  if not isinstance(record, Mapping):
    raise Odd("no JSON object")
  query, label = _query(record), _first(record, _LABELS)
  several = [*_sides(record)]
  several = _scored(record, several) if several else [_alone(record)]
  # One label says what one passage is, whatever its column is called. Beside
  # several it is of none of them, such as a margin.
  if len(several) == 1 and not isinstance(label, list | tuple | None):
    ((ref, score, _),) = several
    several = [(ref, score, _role(label))]
  return [Said(query, *one) for one in several]


def number(value: Any) -> float:
  """A score; NaN where it is null.

  Raises:
    Odd: it is no finite number.
  """
  if value is None:
    return math.nan
  if isinstance(value, bool) or not isinstance(value, int | float):
    raise Odd(f"score {value!r} is not a number")
  if not abs(value) <= _MOST:  # a NaN is not
    raise Odd(f"score {str(value)[:20]} is not a finite number of 32 bits")
  return float(value)


def _query(record: Mapping[str, Any]) -> Ref:
  name, text = _first(record, _QUERY_IDS), _first(record, _QUERY_TEXTS)
  if name is None and not isinstance(text, str | int):
    raise Odd(f"no query: neither {_QUERY_IDS[0]} nor {_QUERY_TEXTS[0]}")
  if isinstance(text, int):  # an id under another name
    name, text = text, ""
  return Ref(_id(name), text if isinstance(text, str) else "")


Passage = tuple[Ref, float, int]


def _sides(record: Mapping[str, Any]) -> Iterator[Passage]:
  """Of an object with several passages."""
  labels = _first(record, _LABELS)
  negatives = _negatives(record)
  if isinstance(labels, list | tuple) and not negatives:
    yield from _labelled(record, labels)
    return
  listed = _first(record, _PASSAGE_TEXTS)
  positives = _flat(_first(record, _POSITIVES))
  if not (positives or negatives):
    if isinstance(listed, list | tuple):
      yield from ((*_passage(value), NEITHER) for value in listed)
    return
  # sentence-transformers leaves a positive under its data set's name for it.
  both = positives or _flat(listed), negatives
  for values, (role, ids, scores) in zip(both, _SIDES, strict=True):
    if values:
      yield from _zipped(
        values, _flat(_first(record, ids)), _flat(_first(record, scores)), role
      )


def _negatives(record: Mapping[str, Any]) -> list[Any]:
  """What has a name of negatives; in a table, who has fewer has nulls."""
  numbered = [v for k, v in record.items() if _is_numbered(k)]
  return [
    *_flat(_first(record, _NEGATIVES)),
    *(value for value in numbered if value is not None),
  ]


def _scored(record: Mapping[str, Any], several: list[Passage]) -> list[Passage]:
  """With the scores of sentence-transformers: one list, positives first."""
  scores = _first(record, SCORES)
  labels = _first(record, _LABELS)
  if scores is None and isinstance(labels, list | tuple) and _negatives(record):
    scores = labels  # their losses of distillation have them there
  if scores is None:
    return several
  values = scores if isinstance(scores, list | tuple) else [scores]
  if len(values) != len(several):
    raise Odd(f"{len(values)} scores for {len(several)} passages")
  # They may stand in the place of labels. What is called positive is then any
  # passage: its labeled-pair and labeled-list have one column.
  mixed = labels is None and all(role == POSITIVE for *_, role in several)
  return [
    (ref, number(value), NEITHER if mixed else role)
    for (ref, _, role), value in zip(several, values, strict=True)
  ]


def _zipped(
  values: list[Any], ids: list[Any], scores: list[Any], role: int
) -> Iterator[Passage]:
  for what, others in (("ids", ids), ("scores", scores)):
    if others and len(others) != len(values):
      raise Odd(f"{len(others)} {what} for {len(values)} passages")
  for at, value in enumerate(values):
    ref, score = _passage(value)
    if ids:
      ref = ref._replace(id=_id(ids[at]))
    if scores:
      score = number(scores[at])
    yield ref, score, role


def _labelled(
  record: Mapping[str, Any], labels: Sequence[Any]
) -> Iterator[Passage]:
  """sentence-transformers' labeled-list: passages, and 1 or 0 for each."""
  values = _flat(_first(record, _PASSAGE_TEXTS + _POSITIVES))
  if len(values) != len(labels):
    raise Odd(f"{len(labels)} labels for {len(values)} passages")
  for value, label in zip(values, labels, strict=True):
    ref, score = _passage(value)
    yield ref, score, _role(label)


def _role(label: Any) -> int:
  """What a label says; 0 and below is a negative's.

  Raises:
    Odd: it is no whole number.
  """
  if label is None:
    return NEITHER
  if not isinstance(label, int | float) or label != label // 1:
    raise Odd(
      f"label {label!r} is not a whole number; name it score, if it is one"
    )
  return POSITIVE if label > 0 else NEGATIVE


def _alone(record: Mapping[str, Any]) -> Passage:
  """Of an object with one passage."""
  name, text = _first(record, _PASSAGE_IDS), _first(record, _PASSAGE_TEXTS)
  if name is None and not isinstance(text, str | int):
    raise Odd(f"no passage: neither {_PASSAGE_IDS[0]} nor {_POSITIVES[0]}")
  ref, _ = _passage(
    text if name is None else {**record, _PASSAGE_IDS[0]: name, "text": text}
  )
  return ref, number(_first(record, SCORES)), NEITHER


def _passage(value: Any) -> tuple[Ref, float]:
  """A passage as an id, a text or an object, and the score in that."""
  if isinstance(value, int) and not isinstance(value, bool):
    return Ref(str(value)), math.nan
  if isinstance(value, str):
    return Ref(text=value), math.nan
  if not isinstance(value, Mapping):
    raise Odd(f"a passage is {value!r}, neither text, id nor object")
  text, title = value.get("text") or "", value.get("title") or ""
  name = _id(_first(value, _PASSAGE_IDS))
  if not (name or text) or not isinstance(text, str):
    raise Odd(f"a passage has neither {_PASSAGE_IDS[3]} nor text")
  return Ref(name, text, str(title)), number(_first(value, SCORES))


def _first(record: Mapping[str, Any], names: Sequence[str]) -> Any:
  """The value of the first of some names that has one."""
  return next((record[n] for n in names if record.get(n) is not None), None)


def _flat(value: Any) -> list[Any]:
  """One value or several, and those of each system that found some."""
  if value is None:
    return []
  if isinstance(value, Mapping) and all(
    isinstance(v, list) for v in value.values()
  ):
    return [item for values in value.values() for item in values]
  return [*value] if isinstance(value, list | tuple) else [value]


def _id(value: Any) -> str:
  if isinstance(value, bool) or not isinstance(value, str | int | None):
    raise Odd(f"an id is {value!r}, neither a text nor a whole number")
  return "" if value is None else str(value)


def _is_numbered(key: str) -> bool:
  return key.startswith(_NUMBERED) and key.removeprefix(_NUMBERED).isdecimal()
