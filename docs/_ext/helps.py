"""The directive `helps`: what `--help` says of each command."""

import importlib

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from prod_jax.cli import arguments, command


def setup(app: Sphinx) -> dict[str, bool]:
  """Registers the directive."""
  app.add_directive("helps", Helps)
  return {"parallel_read_safe": True, "parallel_write_safe": True}


class Helps(SphinxDirective):
  """A section for each command, in the order in which one needs them."""

  def run(self) -> list[nodes.Node]:
    parts = []
    for name in command.COMMANDS:
      module = importlib.import_module(command.module_of(name))
      said = arguments.parser_of(module).format_help()
      parts.append(f"## `prod_jax {name}`\n\n```none\n{said}```")
    return self.parse_text_to_nodes(
      "\n\n".join(parts), allow_section_headings=True
    )
