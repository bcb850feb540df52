"""Figures as files: whole, with colours of their own, in both forms."""

import re
import sys
import types
import xml.etree.ElementTree

import pytest

from prod_jax.report import drawings, figures, record, style


@pytest.fixture
def made(workdir):
  return figures.drawings(record.load(workdir))


def test_every_figure_of_a_page_is_among_them(made):
  assert [*made] == [
    "curriculum-wide",
    "curriculum-tall",
    "mrr",
    "ndcg",
    "loss-student_warm",
    "loss-teacher_de",
    "loss-student_de",
    "loss-ce_1",
    "score_1-teacher",
    "score_1-miner",
  ]


def test_a_file_stands_by_itself(made):
  for name, figure in made.items():
    text = drawings.alone(figure)
    root = xml.etree.ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg", name
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert float(root.attrib["width"]) == width
    assert float(root.attrib["height"]) == height
    assert "var(" not in text and "http" not in text.replace(
      "http://www.w3.org/2000/svg", ""
    )


def test_no_colour_is_without_a_value():
  named = set(re.findall(r"var\(--([a-z-]+)\)", style.SHEET))
  assert named <= style.LIGHT.keys()
  assert style.LIGHT.keys() == style.DARK.keys()


def test_png_where_the_library_is(made, tmp_path, monkeypatch):
  fake = types.ModuleType("resvg_py")
  fake.svg_to_bytes = lambda svg_string, zoom: [0x89, 0x50, zoom]
  monkeypatch.setitem(sys.modules, "resvg_py", fake)
  monkeypatch.setattr(drawings.importlib.util, "find_spec", lambda name: fake)
  one = {"mrr": made["mrr"]}
  paths = drawings.write(one, tmp_path)
  assert [p.name for p in paths] == ["mrr.svg", "mrr.png"]
  assert paths[1].read_bytes() == b"\x89P\x02"
  monkeypatch.setattr(drawings.importlib.util, "find_spec", lambda name: None)
  assert [p.name for p in drawings.write(one, tmp_path)] == ["mrr.svg"]


def test_png_by_resvg_itself(made, tmp_path):
  pytest.importorskip("resvg_py", reason="it comes with the extra: png")
  for path in drawings.write(made, tmp_path):
    if path.suffix == ".png":
      assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
      assert path.stat().st_size > 2_000, path
