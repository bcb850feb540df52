"""Figures as files of their own: SVG, and PNG where there is a library for it.

A figure on a page takes its colours from the page's style sheet, with
variables and dark mode. Alone it has those of light mode in itself, by their
values, since few programs that show SVG know variables.
"""

import dataclasses
import importlib.util
import pathlib
from collections.abc import Mapping

from absl import logging

from prod_jax import storage
from prod_jax.report import style
from prod_jax.report.markup import Tag, render, tag

_ZOOM = 2  # pixels of a PNG for one of CSS
_MARGIN = 12.0


def write(
  figures: Mapping[str, Tag], folder: pathlib.Path
) -> list[pathlib.Path]:
  """Writes each figure as SVG and PNG under its name; returns the files."""
  folder.mkdir(parents=True, exist_ok=True)
  paths = []
  has_png = importlib.util.find_spec("resvg_py") is not None
  if not has_png:
    logging.info("no PNG without resvg_py: pip install 'prod_jax[png]'")
  for name, figure in figures.items():
    text = alone(figure)
    paths.append(folder / f"{name}.svg")
    storage.write_text(paths[-1], text)
    if has_png:
      paths.append(folder / f"{name}.png")
      paths[-1].write_bytes(_png(text))
  return paths


def alone(figure: Tag) -> str:
  """A figure as a whole SVG, with its style and a ground."""
  _, _, width, height = map(float, figure.attributes["viewBox"].split())
  m = _MARGIN
  size = {"width": width + 2 * m, "height": height + 2 * m}
  kept = {k: v for k, v in figure.attributes.items() if k in ("class", "role")}
  ground = tag("rect", x=-m, y=-m, **size, fill=style.LIGHT["paper"])
  whole = tag(
    "svg",
    tag("style", style.figure_sheet()),
    ground,
    *figure.children,
    xmlns="http://www.w3.org/2000/svg",
    viewBox=f"{-m:g} {-m:g} {size['width']:g} {size['height']:g}",
    **size,
  )
  whole = dataclasses.replace(whole, attributes={**whole.attributes, **kept})
  return render(whole) + "\n"


def _png(svg: str) -> bytes:
  import resvg_py  # of an extra

  return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=_ZOOM))
