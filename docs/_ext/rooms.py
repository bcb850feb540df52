"""The directive `room`: the modules of a package as autodoc has them.

Our docstrings are plain text, with code in backticks, and formulas and tables
indented. autodoc reads reStructuredText: here is what translates them.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

# Sections of a docstring, which napoleon reads.
_SECTIONS = ("Args:", "Attributes:", "Raises:", "Returns:", "Yields:")
_CODE = re.compile(r"`([^`]+)`")
_SPECIAL = re.compile(r"([*|\\]|_\b)")


def setup(app: Sphinx) -> dict[str, bool]:
  """Registers the directive, and the translation in front of napoleon's."""
  app.add_directive("room", Room)
  app.connect("autodoc-process-docstring", _translate, priority=400)
  app.connect("autodoc-process-signature", _shorten)
  app.connect("autodoc-skip-member", _skip)
  return {"parallel_read_safe": True, "parallel_write_safe": True}


class Room(SphinxDirective):
  """A section for each public module of the package that is its argument."""

  required_arguments = 1

  def run(self) -> list[nodes.Node]:
    parts = []
    for name in modules(self.arguments[0]):
      parts.append(f"## `{name}`")
      parts.append(
        f"```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```"
      )
    return self.parse_text_to_nodes(
      "\n\n".join(parts), allow_section_headings=True
    )


def modules(package: str) -> Iterator[str]:
  """Names of the package's modules, its own first; of rooms all that is within.

  Those of the whole package are the ones that lie in no room.
  """
  yield package
  for found in pkgutil.iter_modules(importlib.import_module(package).__path__):
    if not found.ispkg:
      yield f"{package}.{found.name}"
    elif "." in package:
      yield from modules(f"{package}.{found.name}")


def _skip(app, what, name, obj, skip, options) -> bool | None:
  """Leaves out the fields of named tuples, which their class describes."""
  return True if inspect.isdatadescriptor(obj) and _is_field(obj) else None


def _is_field(obj: object) -> bool:
  return (inspect.getdoc(obj) or "").startswith("Alias for field number")


def _shorten(app, what, name, obj, options, signature, returns):
  """Calls an array an array."""
  return tuple(
    x and x.replace("jaxlib._jax.", "") for x in (signature, returns)
  )


def _translate(app, what, name, obj, options, lines: list[str]) -> None:
  """Writes a docstring's lines as reStructuredText, in place."""
  if any(lines):
    lines[:] = translated("\n".join(lines)).splitlines()


def translated(text: str) -> str:
  """Paragraph by paragraph: what is indented, or in columns, stays as it is."""
  found, section = [], False
  for part in re.split(r"\n\s*\n", text.strip("\n")):
    first = part.splitlines()[0]
    if first in _SECTIONS:
      section = True
    elif not first.startswith(" "):
      section = False
    if first.lstrip().startswith(">>>"):
      found.append(part)
    elif not section and (first.startswith(" ") or _in_columns(part)):
      block = "\n".join(f"    {line}" for line in part.splitlines())
      found.append(f".. code-block:: none\n\n{block}")
    else:
      found.append(_escaped(part))
  return "\n\n".join(found)


def _in_columns(part: str) -> bool:
  """Whether lines of a part have a gap: a table, a map of modules."""
  return bool(re.search(r"^\S[^\n]*\S {2,}\S", part, re.M))


def _escaped(part: str) -> str:
  """Code in double backticks, and no other markup."""
  pieces = _CODE.split(part)
  for i, piece in enumerate(pieces):
    pieces[i] = f"``{piece}``" if i % 2 else _SPECIAL.sub(r"\\\1", piece)
  return "".join(pieces)
