"""The words of a query in a text: where they stand, and what is around them."""

import collections
import re
from collections.abc import Sequence
from typing import NamedTuple

# Letters and digits; of a_name each part is a word.
_WORD = re.compile(r"[^\W_]+")
# Words that stand everywhere, and say nothing of why a passage was found.
_COMMON = frozenset(
  _WORD.findall(
    "a an and are as at be by can do does for from how i if in into is it its "
    "of on or that the their this to was what when where which who why will "
    "with you your"
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


def context(query: str, text: str, most: int) -> list[str]:
  """The part of a text with most of a query's words, cut up at these.

  Args:
    query: whose words are looked for. One with another ending counts too.
    text: of any length.
    most: characters of the part, about.

  Returns:
    Pieces, of which every second one, from the second on, is a word of the
    query. White space is single spaces, and … stands for what is cut off. The
    beginning of the text, in one piece, where no word is in it.
  """
  text = " ".join(text.split())
  found = _find(query, text)
  start, end = _part(found, len(text), most)
  # Not in the middle of a word, where there is a space to cut at.
  if start:
    start = text.find(" ", start, start + _BEFORE) + 1 or start
  if end < len(text) and (cut := text.rfind(" ", start, end)) > start:
    end = cut
  pieces, at = [_CUT * (start > 0)], start
  for word in found:
    if start <= word.start and word.end <= end:
      pieces[-1] += text[at : word.start]
      pieces += [text[word.start : word.end], ""]
      at = word.end
  pieces[-1] += text[at:end] + _CUT * (end < len(text))
  return pieces


def _find(query: str, text: str) -> list[_Found]:
  """The words of a query in a text, in order."""
  every = {word.casefold() for word in _WORD.findall(query)}
  wanted = every - _COMMON or every
  found, known = [], dict[str, str]()
  for match in _WORD.finditer(text):
    word = match[0].casefold()
    if word not in known:
      known[word] = next((w for w in wanted if _alike(w, word)), "")
    if known[word]:
      found.append(_Found(*match.span(), known[word]))
  return found


def _alike(one: str, other: str) -> bool:
  """Whether two words are one, perhaps with an ending."""
  short, long = sorted((one, other), key=len)
  if short == long:
    return True
  ending = len(long) - len(short)
  return len(short) >= _STEM and ending <= _ENDING and long.startswith(short)


def _part(found: Sequence[_Found], length: int, most: int) -> tuple[int, int]:
  """Where the part begins and ends that holds most different words."""
  if length <= most or not found:
    return 0, min(length, most)
  count = collections.Counter[str]()
  best, first, last = 0, found[0], 0
  for i, word in enumerate(found):
    while last < len(found) and found[last].end <= word.start + most - _BEFORE:
      count[found[last].word] += 1
      last += 1
    here = len(+count)
    if here > best:
      best, first = here, word
    count[found[i].word] -= 1
  start = min(max(first.start - _BEFORE, 0), length - most)
  return start, start + most
