"""What pages are made of: the document, its tables, boxes that scroll."""

from collections.abc import Iterable, Iterator, Sequence

from prod_jax.report import style
from prod_jax.report.markup import Tag, render, tag


def document(title: str, header: Iterable[Tag], main: Iterable[Tag]) -> str:
  """A whole page that needs nothing else, as text.

  Args:
    title: its heading, and that of its tab.
    header: what stands behind the heading.
    main: the sections.
  """
  head = tag(
    "head",
    tag("meta", charset="utf-8"),
    tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
    tag("title", f"prod_jax: {title}"),
    tag("style", style.SHEET),
  )
  top = tag("header", tag("h1", title), *header)
  body = tag("body", top, tag("main", *main))
  page = f"<!doctype html>\n{render(tag('html', head, body, lang='en'))}\n"
  # The name of a folder may be no text.
  return page.encode("utf-8", "replace").decode()


def table(
  head: Sequence[str],
  rows: Sequence[tuple[Sequence[str | Tag], bool]],
  words: int,
) -> Tag:
  """A table, numbers after `words` columns; flagged rows are the student's."""
  lines = [
    tag("tr", *_cells("td", cells, words), class_="student" if own else "other")
    for cells, own in rows
  ]
  titles = [_title(name) for name in head]
  top = tag("thead", tag("tr", *_cells("th", titles, words)))
  return scrolling("table", tag("table", top, tag("tbody", *lines)))


def scrolling(what: str, *children: Tag) -> Tag:
  """A box that scrolls sideways where the screen is too small for it."""
  return tag(
    "div",
    *children,
    class_="scroll",
    role="region",
    tabindex="0",
    aria_label=what,
  )


def sentence(note: str) -> str:
  """A note as a sentence."""
  return f"{note[:1].upper()}{note[1:]}."


def _cells(name: str, cells: Sequence[str | Tag], words: int) -> Iterator[Tag]:
  for at, cell in enumerate(cells):
    yield tag(name, cell, class_="number" if at >= words else "word")


def _title(name: str) -> Tag:
  """A column's title; a metric may break before its cut-off."""
  metric, at, cutoff = name.partition("@")
  return tag("span", metric, tag("wbr"), f"{at}{cutoff}")
