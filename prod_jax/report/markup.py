"""HTML and SVG as values, so that no text reaches the page unescaped.

A string among the children is always text. What a page says and how it looks
is not here.
"""

import dataclasses
import html
from collections.abc import Mapping

_VOID = frozenset({"meta", "wbr"})


@dataclasses.dataclass(frozen=True)
class Tag:
  """An element; make it with `tag`."""

  name: str
  attributes: Mapping[str, str]
  children: tuple["Tag | str", ...]


def tag(
  name: str, /, *children: Tag | str, **attributes: str | float | int
) -> Tag:
  """An element of HTML or SVG.

  Args:
    name: of the element.
    *children: elements, and strings that are text.
    **attributes: `class_` stands for class and `stroke_width` for
      stroke-width. Floats are written with two decimals, enough for a pixel.
  """
  named = {
    key.rstrip("_").replace("_", "-"): _text(value)
    for key, value in attributes.items()
  }
  return Tag(name, named, children)


def render(node: Tag | str) -> str:
  """The text of an element and all that is in it."""
  if isinstance(node, str):
    return html.escape(node, quote=False)
  attributes = "".join(
    f' {key}="{html.escape(value)}"' for key, value in node.attributes.items()
  )
  if node.name in _VOID:
    return f"<{node.name}{attributes}>"
  inner = "".join(map(render, node.children))
  return f"<{node.name}{attributes}>{inner}</{node.name}>"


def missing(words: str) -> Tag:
  """A sentence in the place of something that the run does not have."""
  return tag("p", words, class_="missing")


def _text(value: str | float | int) -> str:
  if isinstance(value, float):
    return f"{value:.2f}".rstrip("0").rstrip(".")
  return str(value)
