"""The directives `fields` and `settings`: what a config can say, as tables.

A field that is not described in its docstring fails the build.
"""

import dataclasses
import importlib
import inspect
import typing

import tables
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def setup(app: Sphinx) -> dict[str, bool]:
  """Registers the directives."""
  app.add_directive("fields", Fields)
  app.add_directive("settings", Settings)
  return {"parallel_read_safe": True, "parallel_write_safe": True}


class Fields(SphinxDirective):
  """A section for each dataclass, or each of a union, that its lines name.

  Behind the name may stand a title. With `:beside: NAME` the fields that the
  class of that name has, too, are left out.
  """

  has_content = True
  option_spec: typing.ClassVar = {"beside": directives.unchanged}

  def run(self) -> list[nodes.Node]:
    known = tables.names_of(self.options.get("beside"))
    parts = []
    for line in self.content:
      path, _, title = line.partition(" ")
      for cls in tables.classes_of(path):
        parts.append(f"### {title or tables.title_of(cls)}")
        parts += [tables.lead_of(cls), tables.table(cls, known)]
    return _sections(self, parts)


class Settings(SphinxDirective):
  """A section for each method that has something to set."""

  def run(self) -> list[nodes.Node]:
    parts = []
    for name in tables.methods():
      module = importlib.import_module(f"{tables.METHODS}.{name}")
      if dataclasses.fields(module.Settings):
        first, _, _ = inspect.getdoc(module).partition("\n\n")
        parts += [f"### `{name}`", " ".join(first.split())]
        parts.append(tables.table(module.Settings))
    return _sections(self, parts)


def _sections(directive: SphinxDirective, parts: list[str]) -> list[nodes.Node]:
  return directive.parse_text_to_nodes(
    "\n\n".join(parts), allow_section_headings=True
  )
