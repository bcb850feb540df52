"""The page in a browser: as somebody types, with a keyboard, on a phone."""

import pytest

from prod_jax.serving.library import Asked
from tests.serving import browser
from tests.serving.conftest import IMAGE

pytest.importorskip("uvicorn", reason="of the extra serve")
if browser.found() is None:
  pytest.skip("Chromium is not installed", allow_module_level=True)

FOUND = """document.querySelectorAll('#left .hit').length === 10
  && document.querySelectorAll('#right .hit').length === 10
  && !document.querySelector('.old')"""
RETURN, ESCAPE, UP, DOWN, LEFT, RIGHT = 13, 27, 38, 40, 37, 39


@pytest.fixture(scope="module")
def chromium():
  with browser.opened(browser.found()) as page:
    yield page


@pytest.fixture
def page(chromium, served):
  """The page without a query, light and on a desk."""
  chromium.said.clear()
  chromium.size(1280, 900)
  chromium.prefer("light")
  chromium.open(served)
  chromium.run("localStorage.clear()")
  chromium.open(served)
  chromium.wait("document.querySelectorAll('#examples button').length === 6")
  yield chromium
  assert not chromium.said, "something on the console"


def text(page, selector):
  return page.run(f"document.querySelector({selector!r}).textContent")


def ids(page, column):
  return texts(page, f"#{column} .head b")


def texts(page, selector):
  found = f"[...document.querySelectorAll({selector!r})]"
  return page.run(f"{found}.map(element => element.textContent)")


def ask(page, query):
  page.run("document.getElementById('query').value = ''")
  page.run("document.getElementById('query').focus()")
  page.type(query)
  page.wait(f"location.search.includes('q=') && {FOUND}")


def test_passages_come_as_somebody_types(page, library):
  assert page.run("document.activeElement.id") == "query"
  assert page.run("document.title") == "set: search"
  ask(page, "gar bel")
  answer = library.answer(Asked("gar bel", "student", "warm"))
  assert ids(page, "left") == [hit["title"] for hit in answer["hits"]]
  assert text(page, "#left_title") == "student"
  assert page.run("document.getElementById('beside').value") == "ce"
  assert "of student with the query" in text(page, "#right .said")
  kind = {"scann": "ScaNN, recall ", "exact": "exact search, "}
  assert text(page, "#left .said").startswith(kind[answer["index"]["kind"]])
  assert page.run("document.querySelector('#left mark').textContent")
  assert page.run("document.getElementById('examples').hidden")


def test_a_slider_goes_through_the_stages(page):
  ask(page, "garel belin")
  assert text(page, "#stage_name") == "student"
  assert page.run("document.getElementById('stage').max") == "1"
  moved = page.run("document.querySelectorAll('#left .moved').length")
  assert moved == 10
  page.run("document.activeElement.blur()")
  page.press("[", 219)
  page.wait(
    f"document.getElementById('left_title').textContent === 'warm' && {FOUND}"
  )
  assert "stage=warm" in page.run("location.search")
  assert (
    page.run("document.getElementById('stage').getAttribute('aria-valuetext')")
    == "warm"
  )
  # It is the first of them: nothing was before it.
  page.wait("!document.querySelector('#left .moved')")
  page.run("document.querySelectorAll('#ticks button')[1].click()")
  page.wait("document.querySelectorAll('#left .moved').length === 10")


def test_what_is_asked_stands_in_the_address(page, served):
  page.open(f"{served}?q=garel&stage=warm&beside=teacher")
  page.wait(FOUND)
  assert text(page, "#left_title") == "warm"
  assert page.run("document.getElementById('beside').value") == "teacher"
  assert page.run("document.getElementById('query').value") == "garel"


def test_what_is_relevant_to_a_known_query_is_marked(page, library):
  answers = (
    library.answer(Asked(query.text, "student", "warm"))
    for query in library.dataset.queries["test"]
  )
  answer = next(a for a in answers if any(h["relevant"] for h in a["hits"]))
  ask(page, answer["query"])
  known = "A query of split test: what is relevant is marked."
  assert known in text(page, "#status")
  marked = [hit["title"] for hit in answer["hits"] if hit["relevant"]]
  assert texts(page, "#left .hit.right b") == marked
  assert texts(page, "#left .mark") == ["✓ relevant"] * len(marked)
  missed = text(page, "#left .missed")
  assert missed.count("Relevant too") == min(len(answer["missed"]), 5)


def test_an_example_is_a_query_to_begin_with(page):
  query = text(page, "#examples button")
  page.run("document.querySelector('#examples button').click()")
  page.wait(FOUND)
  assert page.run("document.getElementById('query').value") == query
  assert "A query of split test" in text(page, "#status")


def test_texts_stay_texts(page):
  ask(page, f"{IMAGE} garel")
  page.run("document.querySelectorAll('.head').forEach(head => head.click())")
  page.wait("document.querySelectorAll('.whole').length === 20")
  assert page.run("window.hurt") is None
  assert page.run("document.images.length") == 0
  assert page.run("document.scripts.length") == 1
  assert page.run("document.getElementById('query').value") == f"{IMAGE} garel"


def test_answers_that_come_late_are_dropped(page):
  page.run("""(() => {
    window.answers = {};
    window.fetch = (path) => new Promise((done) => {
      const query = new URLSearchParams(path.split('?')[1]).get('q');
      (answers[query] ||= []).push(() => done(new Response(JSON.stringify({
        query, system: 'student', before: null, known: null, missed: [],
        index: { kind: 'exact', recall: 1, orders: null }, milliseconds: 1,
        hits: [{ rank: 1, id: query, title: query, score: 1, relevant: 0,
          before: null, context: ['x'], text: 'x' }],
      }))));
    });
  })()""")
  page.run("document.getElementById('query').focus()")
  for letter in "ab":
    page.type(letter)
    page.press("Enter", RETURN)
  page.wait("answers.ab && answers.ab.length === 2")
  page.run("answers.ab.forEach(answer => answer())")
  page.wait("document.querySelectorAll('.hit').length === 2")
  page.run("answers.a.forEach(answer => answer())")
  page.run("new Promise(requestAnimationFrame)")
  assert ids(page, "left") == ids(page, "right") == ["ab"]


def test_a_keyboard_is_enough(page):
  ask(page, "garel")
  left, right = ids(page, "left"), ids(page, "right")

  def at():
    return page.run("document.activeElement.querySelector('b').textContent")

  page.press("ArrowDown", DOWN)
  assert at() == left[0]
  page.press("ArrowDown", DOWN)
  assert at() == left[1]
  page.press("ArrowRight", RIGHT)
  assert at() == right[1]
  page.press("ArrowLeft", LEFT)
  page.press("Enter", RETURN)
  assert (
    page.run("document.activeElement.getAttribute('aria-expanded')") == "true"
  )
  assert page.run("document.querySelectorAll('.whole').length") == 1
  page.press("ArrowUp", UP)
  page.press("ArrowUp", UP)
  assert page.run("document.activeElement.id") == "query"
  page.press("ArrowDown", DOWN)
  page.press("/", 191)
  assert page.run("document.activeElement.id") == "query"
  assert page.run("document.getElementById('query').value") == "garel"
  page.press("ArrowDown", DOWN)
  page.press("Escape", ESCAPE)
  assert page.run("document.activeElement.id") == "query"
  page.press("Escape", ESCAPE)
  page.wait("document.getElementById('columns').hidden")
  assert page.run("document.getElementById('query').value") == ""
  assert not page.run("document.getElementById('examples').hidden")


def test_brackets_are_typed_as_each_keyboard_has_them(page):
  """With AltGr on Windows that is Ctrl and Alt, with Option on a Mac Alt."""
  page.run("document.activeElement.blur()")
  stage = "document.getElementById('stage_name').textContent"

  def press(key, **held):
    said = ", ".join(f"{name}: {str(on).lower()}" for name, on in held.items())
    page.run(
      f"document.body.dispatchEvent(new KeyboardEvent('keydown', "
      f"{{ key: '{key}', bubbles: true, cancelable: true, {said} }}))"
    )
    return page.run(stage)

  assert press("[", ctrlKey=True) == press("[", metaKey=True) == "student"
  altgr = dict(ctrlKey=True, altKey=True, modifierAltGraph=True)
  assert press("[", **altgr) == "warm"
  assert press("]", altKey=True) == "student"


def test_nothing_beside_it_stays_so(page):
  ask(page, "garel")
  page.run("""(() => {
    const beside = document.getElementById('beside');
    beside.value = '';
    beside.dispatchEvent(new Event('change'));
  })()""")
  page.wait("location.search.endsWith('beside=')")
  page.open(page.run("location.href"))
  page.wait("document.querySelectorAll('#left .hit').length === 10")
  assert page.run("document.getElementById('beside').value") == ""
  assert ids(page, "right") == []


def test_of_many_relevant_passages_some_are_named(page):
  page.run("""window.fetch = () => Promise.resolve(new Response(JSON.stringify({
    query: 'a', system: 'student', before: null, known: null, hits: [],
    index: { kind: 'exact', recall: 1, orders: null }, milliseconds: 1,
    missed: [1, 2, 3, 4, 5, 6, 7].map((rank) => (
      { id: `p${rank}`, relevant: 1, rank })),
  })))""")
  page.run("document.getElementById('query').focus()")
  page.type("a")
  page.wait("document.querySelector('#left .missed').textContent")
  said = text(page, "#left .missed")
  assert said.count("Relevant too") == 5 and said.endswith(". And 2 more.")


def test_what_one_column_lacks_is_said_there(page):
  page.run("""(() => {
    const real = window.fetch;
    window.fetch = (path, more) => path.includes('system=ce')
      ? Promise.reject(new TypeError('no network')) : real(path, more);
  })()""")
  page.run("document.getElementById('query').focus()")
  page.type("garel")
  page.wait("document.querySelectorAll('#left .hit').length === 10")
  page.wait("document.querySelector('#right .said').textContent")
  said = text(page, "#right .said")
  assert said == "The server does not answer; is it still running?"


def paper(page):
  return page.run("getComputedStyle(document.body).backgroundColor")


def test_dark_is_as_the_system_has_it_or_as_it_was_chosen(page, served):
  light = paper(page)
  page.prefer("dark")
  dark = paper(page)
  assert (light, dark) == ("rgb(253, 253, 251)", "rgb(20, 23, 26)")
  page.run("document.getElementById('theme').click()")
  assert paper(page) == light
  page.open(served)
  assert paper(page) == light
  assert (
    page.run("document.getElementById('theme').getAttribute('aria-pressed')")
    == "false"
  )


def test_nothing_is_wider_than_a_phone(page):
  for width in (390, 320, 768, 1280):
    page.size(width, 844)
    ask(page, "garel belin karot")
    assert page.run("document.documentElement.scrollWidth") <= width


def test_nothing_is_loaded_from_elsewhere(page, served):
  ask(page, "garel")
  loaded = page.run("performance.getEntriesByType('resource').map(e => e.name)")
  assert loaded
  assert all(name.startswith(served) for name in loaded)


def test_an_error_is_said(page):
  page.run("window.fetch = () => Promise.reject(new TypeError('no network'))")
  page.run("document.getElementById('query').focus()")
  page.type("garel")
  page.wait("document.querySelector('#status.wrong')")
  assert (
    text(page, "#status") == "The server does not answer; is it still running?"
  )


def test_each_control_has_a_name(page):
  ask(page, "garel")
  tree = page.call("Accessibility.getFullAXTree")["nodes"]
  roles = {"button", "searchbox", "slider", "combobox", "list", "region"}
  for node in tree:
    role = node.get("role", {}).get("value")
    if role in roles - {"list"} and not node.get("ignored"):
      assert node.get("name", {}).get("value"), node
