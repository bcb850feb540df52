"""Formulas as MathML, which browsers draw by themselves.

docutils translates them while the site is built, so that a page needs neither
a script nor a font from elsewhere.
"""

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator


def setup(app: Sphinx) -> dict[str, bool]:
  """Registers the renderer; Sphinx prefers one beside its own."""
  app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
  return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(translator: HTML5Translator, node: nodes.math) -> None:
  translator.body.append(_translated(node, as_block=False))
  raise nodes.SkipNode


def _block(translator: HTML5Translator, node: nodes.math_block) -> None:
  formula = _translated(node, as_block=True)
  translator.body.append(f'<div class="formula">{formula}</div>\n')
  raise nodes.SkipNode


def _translated(node: nodes.math | nodes.math_block, as_block: bool) -> str:
  try:
    return latex2mathml.tex2mathml(node.astext(), as_block=as_block)
  except latex2mathml.MathError as error:
    logging.getLogger(__name__).warning("%s", error, location=node)
    return ""
