"""Warns of a page that loads something from elsewhere than the site."""

import pathlib
import re

from sphinx.application import Sphinx
from sphinx.util import logging

_LOADED = re.compile(
  r"""<(?:script|img|iframe|source|link)\b[^>]*?
  \s(?:src|href)="((?:https?:)?//[^"]+)" | url\(["']?((?:https?:)?//[^)"']+)""",
  re.X,
)
_MET = ("canonical", "license")  # relations that a browser does not follow


def setup(app: Sphinx) -> dict[str, bool]:
  """Looks through all that was written, once it is."""
  app.connect("build-finished", _look)
  return {"parallel_read_safe": True, "parallel_write_safe": True}


def _look(app: Sphinx, error: Exception | None) -> None:
  if error:
    return
  for path in pathlib.Path(app.outdir).rglob("*"):
    if path.suffix in (".html", ".css", ".svg"):
      for found in _LOADED.finditer(path.read_text()):
        logging.getLogger(__name__).warning(
          "%s loads %s", path.relative_to(app.outdir), found[1] or found[2]
        )
