"""Text never becomes markup."""

from prod_jax.report import elements
from prod_jax.report.markup import render, tag


def test_text_and_attributes_are_escaped():
  node = tag("p", '<b> & "q"', title='"><script>')
  assert render(node) == (
    '<p title="&quot;&gt;&lt;script&gt;">&lt;b&gt; &amp; "q"</p>'
  )


def test_names_of_attributes():
  node = tag("path", class_="a b", stroke_width=1.5, viewBox="0 0 1 1")
  assert render(node) == (
    '<path class="a b" stroke-width="1.5" viewBox="0 0 1 1"></path>'
  )


def test_numbers_are_short():
  node = tag("rect", x=1.0, y=2.004, width=10, height=0.126)
  assert render(node) == '<rect x="1" y="2" width="10" height="0.13"></rect>'


def test_void_elements_have_no_end():
  assert render(tag("p", "a", tag("wbr"), "b")) == "<p>a<wbr>b</p>"


def test_a_name_that_is_no_text_can_be_written(tmp_path):
  page = elements.document("run \udcff", [], [tag("p", "\udcff")])
  (tmp_path / "page.html").write_text(page, encoding="utf-8")
  assert page.count("?") == 3
