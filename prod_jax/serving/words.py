"""The words of a query in a text: where they stand, and what is around them."""

import collections
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import regex

# Letters of scripts in which no space shows where a word begins and ends.
_SCRIPTS = "Han Hiragana Katakana Bopomofo Hangul Thai Lao Khmer Myanmar"
_DENSE = "".join(rf"\p{{scx={script}}}" for script in _SCRIPTS.split())
# Letters and digits, with the marks upon them; of a_name each part is a word.
_WORD = regex.compile(
  rf"(?P<dense>(?![a-zA-Z0-9 ])[[\p{{L}}\p{{M}}]&&[{_DENSE}]]+)"
  # The first ones are looked up quickly.
  rf"|(?:[a-zA-Z0-9]++|[[\p{{L}}\p{{N}}\p{{M}}]--[{_DENSE}]])+",
  regex.V1,
)
# Words that stand everywhere, and say nothing of why a passage was found.
_COMMON = frozenset(
  regex.findall(
    "[a-z]+",
    "a an and are as at be by can do does for from how i if in into is it its "
    "of on or that the their this to was what when where which who why will "
    "with you your",
  )
)
_STEM, _ENDING = 4, 3  # letters that words share, and that one has besides
_BEFORE = 60  # characters of a context in front of its first word
_CUT = "…"


class _Found(NamedTuple):
  """A word of the query in a text, from `start` to `end`."""

  start: int
  end: int
  word: str


def context(query: str, text: str, width: int) -> list[str]:
  """The part of a text with most of a query's words, cut up at these.

  Args:
    query: whose words are looked for. One with another ending counts too.
    text: of any length.
    width: characters of the part, about.

  Returns:
    Pieces, of which every second one, from the second on, is a word of the
    query. White space is single spaces, and … stands for what is cut off. The
    beginning of the text, in one piece, where no word is in it.
  """
  text = " ".join(text.split())
  words = _find(query, text)
  start, end = _part(words, len(text), width)
  # Not in the middle of a word, where there is a space to cut at.
  if start:
    start = text.find(" ", start, start + _BEFORE) + 1 or start
  if end < len(text) and (cut := text.rfind(" ", start, end)) > start:
    end = cut
  pieces, at = [_CUT * (start > 0)], start
  for word in words:
    if start <= word.start and word.end <= end:
      pieces[-1] += text[at : word.start]
      pieces += [text[word.start : word.end], ""]
      at = word.end
  pieces[-1] += text[at:end] + _CUT * (end < len(text))
  return pieces


def _find(query: str, text: str) -> list[_Found]:
  """The words of a query in a text, in order."""
  matches = [*_WORD.finditer(query)]
  dense = [m[0] for m in matches if m["dense"]]
  every = {m[0].casefold() for m in matches if not m["dense"]}
  wanted = every - _COMMON or every
  found: list[_Found] = []
  known: dict[str, str] = {}
  for match in _WORD.finditer(text):
    if match["dense"]:
      found += _shared(dense, match[0], match.start())
      continue
    word = match[0].casefold()
    if word not in known:
      known[word] = next((w for w in wanted if _alike(w, word)), "")
    if known[word]:
      found.append(_Found(match.start(), match.end(), known[word]))
  return found


def _shared(dense: Sequence[str], run: str, start: int) -> Iterator[_Found]:
  """The parts of a run without spaces whose letters stand so in the query.

  Where words begin nobody says. Two letters side by side are enough; of one
  that is alone in the query, that one.

  Args:
    dense: runs of the query.
    run: of the text.
    start: where it stands there.
  """
  parts = {one[i : i + 2] for one in dense for i in range(max(len(one) - 1, 1))}
  is_shared = [False] * len(run)
  for i in range(len(run)):
    for part in (run[i], run[i : i + 2]):
      if part in parts:
        is_shared[i : i + len(part)] = [True] * len(part)
  at = 0
  for shared, letters in itertools.groupby(is_shared):
    length = len([*letters])
    if shared:
      yield _Found(start + at, start + at + length, run[at : at + length])
    at += length


def _alike(one: str, other: str) -> bool:
  """Whether two words are one, perhaps with an ending."""
  short, long = sorted((one, other), key=len)
  if short == long:
    return True
  ending = len(long) - len(short)
  return len(short) >= _STEM and ending <= _ENDING and long.startswith(short)


def _part(words: Sequence[_Found], length: int, width: int) -> tuple[int, int]:
  """Where the part begins and ends that holds most different words."""
  if length <= width or not words:
    return 0, min(length, width)
  count = collections.Counter[str]()
  best, first, last = 0, words[0], 0
  for i, word in enumerate(words):
    while last < len(words) and words[last].end <= word.start + width - _BEFORE:
      count[words[last].word] += 1
      last += 1
    here = len(+count)
    if here > best:
      best, first = here, word
    count[words[i].word] -= 1
  start = min(max(first.start - _BEFORE, 0), length - width)
  return start, start + width
