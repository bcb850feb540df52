"""HTTP: what is answered, what is refused, and what a browser is told."""

import ast
import asyncio
import re
import threading

import pytest

pytest.importorskip("starlette", reason="of the extra serve")

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.testclient import TestClient

from prod_jax.report import style
from prod_jax.serving import app
from prod_jax.serving.library import Asked, Library
from tests.commands import REPO
from tests.serving.conftest import EVIL, RIGHT_TO_LEFT

PAGE = REPO / "prod_jax" / "serving" / "page"
HERE = "http://127.0.0.1:8765"


def client(library, base=HERE, **more):
  made = app.make(library, **more)
  return TestClient(made, base_url=base, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def http(library):
  return client(library)


def test_the_page_and_its_files_are_sent(http):
  for path, kind in {
    "/": "text/html",
    "/page.css": "text/css",
    "/page.js": "text/javascript",
    "/icon.svg": "image/svg+xml",
  }.items():
    answer = http.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert http.head(path).status_code == 200
  colours = http.get("/page.css").text
  for palette in (style.LIGHT, style.DARK):
    assert style.variables(palette) in colours


def test_systems_and_answers_are_those_of_the_library(http, library):
  assert http.get("/api/systems").json() == library.described()
  for asked, words in {
    Asked("garel", "student"): {},
    Asked("garel", "warm", "student", 3): {
      "system": "warm",
      "before": "student",
      "k": "3",
    },
    Asked(EVIL, "student"): {},
    Asked(RIGHT_TO_LEFT, "student", hits=100): {"k": "100"},
    Asked("a\0b", "student"): {},
  }.items():
    answer = http.get("/api/search", params={"q": asked.query, **words})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    found, wanted = answer.json(), library.answer(asked)
    for one in (found, wanted):
      assert one.pop("milliseconds") >= 0
    assert found == wanted


@pytest.mark.parametrize(
  ("path", "code", "message"),
  [
    ("/api/search", 400, "q, the query, is missing"),
    ("/api/search?q=", 400, "the query is empty"),
    ("/api/search?q=%00", 400, "the query is empty"),
    (f"/api/search?q={'x' * 50_000}", 400, "a query has at most 1,000 charac"),
    ("/api/search?q=a&k=0", 400, "k is a number from 1 to 100"),
    ("/api/search?q=a&k=101", 400, "k is a number from 1 to 100"),
    ("/api/search?q=a&k=-1", 400, "k is a number from 1 to 100"),
    ("/api/search?q=a&k=٣", 400, "k is a number from 1 to 100"),
    (f"/api/search?q=a&k={'9' * 9999}", 400, "k is a number from 1 to 100"),
    ("/api/search?q=a&size=3", 400, "it takes q, system, before and k"),
    ("/api/search?q=a&system=<b>", 404, "there is no such system: '<b>'"),
    ("/api/search?q=a&before=nobody", 404, "there is no such system: 'nobody'"),
    (
      f"/api/search?q=a&system={'x' * 9999}",
      404,
      f"there is no such system: '{'x' * 60}'",
    ),
    ("/nothing", 404, "Not Found"),
    ("/page/page.js", 404, "Not Found"),
    ("/..%2f..%2fsetup.py", 404, "Not Found"),
  ],
)
def test_what_cannot_be_answered_is_a_line(http, path, code, message):
  answer = http.get(path)
  assert answer.status_code == code
  assert answer.json()["error"].startswith(message)
  assert list(answer.json()) == ["error"]


def test_undecodable_bytes_are_a_query(http):
  assert http.get("/api/search?q=%ff%ed%a0%80").status_code == 200


def test_nothing_but_reading(http):
  for method in ("post", "put", "delete", "patch"):
    assert getattr(http, method)("/api/search?q=a").status_code == 405


def test_a_failure_tells_nothing_of_the_machine(library, monkeypatch):
  def fail(asked):
    raise OSError("/home/somebody/secret is not there")

  monkeypatch.setattr(library, "answer", fail)
  answer = client(library).get("/api/search?q=a")
  assert answer.status_code == 500
  assert answer.json() == {
    "error": "the search has failed; the server's log says why"
  }


def test_each_answer_tells_a_browser_what_it_may_do(library, monkeypatch):
  http = client(library)
  monkeypatch.setattr(library, "answer", lambda asked: 1 / 0)
  paths = ["/", "/page.js", "/api/systems", "/api/search", "/none"]
  answers = [http.get(path) for path in [*paths, "/api/search?q=a"]]
  answers.append(http.get("/", headers={"host": "evil.example"}))
  assert [answer.status_code for answer in answers] == [
    *(200, 200, 200, 400, 404, 500, 400)
  ]
  assert answers[-1].json() == {
    "error": "the Host header names another host than this one"
  }
  for answer in answers:
    policy = answer.headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert not any("unsafe" in part or "*" in part for part in policy)
    assert {"script-src 'self'", "frame-ancestors 'none'"} <= set(policy)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in answer.headers


def test_another_name_of_this_machine_is_refused(library):
  here, anywhere = client(library), client(library, names=None)
  own = client(library, names={"127.0.0.5", "Machine"})
  for host, is_here in {
    "127.0.0.1:8765": True,
    "localhost": True,
    "LOCALHOST:1": True,
    "[::1]:8765": True,
    "evil.example": False,
    "localhost.evil.example": False,
    "127.0.0.1.evil.example:8765": False,
    "127.0.0.1@evil.example": False,
    "": False,
  }.items():
    for path in ("/", "/api/systems", "/api/search?q=a"):
      code = here.get(path, headers={"host": host}).status_code
      assert code == (200 if is_here else 400), host
  for host in ("127.0.0.5:8765", "machine", "127.0.0.1"):
    assert own.get("/api/systems", headers={"host": host}).status_code == 200
  got = own.get("/api/systems", headers={"host": "evil.example"})
  assert got.status_code == 400
  got = anywhere.get("/api/systems", headers={"host": "search.example"})
  assert got.status_code == 200


def test_the_page_of_another_site_is_not_answered(http):
  for site, code in {
    "cross-site": 403,
    "same-origin": 200,
    "none": 200,
  }.items():
    for path in ("/api/systems", "/api/search?q=a"):
      answer = http.get(path, headers={"sec-fetch-site": site})
      assert answer.status_code == code
    # A link to the page may stand anywhere.
    assert http.get("/", headers={"sec-fetch-site": site}).status_code == 200


class Slow(Library):
  """Answers when it is told to."""

  chosen = "student"

  def __init__(self):
    self.go, self.most, self.now = threading.Event(), 0, 0
    self._lock = threading.Lock()

  def answer(self, asked):
    with self._lock:
      self.now += 1
      self.most = max(self.most, self.now)
    assert self.go.wait(60)
    with self._lock:
      self.now -= 1
    return {"query": asked.query}


def request(gone=False):
  async def receive():
    if gone:
      return {"type": "http.disconnect"}
    await asyncio.Event().wait()

  scope = {"type": "http", "method": "GET", "query_string": b"q=a"}
  return Request({**scope, "path": "/api/search", "headers": []}, receive)


def test_searches_wait_for_each_other_and_too_many_are_refused():
  library = Slow()
  search = app._Search(library)

  async def ask():
    asked = [
      asyncio.create_task(search.answer(request())) for _ in range(app.WAITING)
    ]
    while library.now < app.AT_ONCE:
      await asyncio.sleep(0)
    with pytest.raises(HTTPException) as caught:
      await search.answer(request())
    library.go.set()
    return caught.value, [
      answer.status_code for answer in await asyncio.gather(*asked)
    ]

  error, codes = asyncio.run(ask())
  assert (error.status_code, error.headers) == (503, {"Retry-After": "1"})
  assert codes == [200] * app.WAITING
  assert library.most == app.AT_ONCE


def test_more_searches_than_somebody_types_are_refused(monkeypatch):
  library, clock = Slow(), [0.0]
  library.go.set()
  monkeypatch.setattr(app, "_now", lambda: clock[0])
  search = app._Search(library)

  async def ask(count):
    return [(await search.answer(request())).status_code for _ in range(count)]

  assert asyncio.run(ask(app.AT_FIRST)) == [200] * app.AT_FIRST
  for seconds in (0.0, 1.0):
    clock[0] += seconds
    passed = round(app.A_SECOND * seconds)
    assert asyncio.run(ask(passed)) == [200] * passed
    with pytest.raises(HTTPException) as caught:
      asyncio.run(ask(1))
    error = caught.value
    assert (error.status_code, error.headers) == (429, {"Retry-After": "1"})


def test_nothing_is_searched_for_who_has_gone():
  library = Slow()
  answer = asyncio.run(app._Search(library).answer(request(gone=True)))
  assert (answer.status_code, library.most) == (204, 0)


def test_the_page_has_nothing_from_elsewhere_and_no_markup_of_texts():
  files = {path.name: path.read_text() for path in PAGE.iterdir()}
  assert sorted(files) == ["icon.svg", "index.html", "page.css", "page.js"]
  for name, text in files.items():
    links = set(re.findall(r"\bhttps?://[^\s\"']+", text))
    assert links <= {"http://www.w3.org/2000/svg"}, name
    assert not re.search(r"url\(|@import|\bimport\b", text), name
  html = files["index.html"]
  assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src)", html)
  script = files["page.js"]
  for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write"):
    assert word not in script
  assert not re.search(r"\beval\b|new Function|\.style\b", script)


def test_what_is_no_python_is_in_the_wheel():
  """The page, which setup.py names."""
  said = re.search(r"package_data=(\{.*?\})", (REPO / "setup.py").read_text())
  patterns = ast.literal_eval(said[1])
  package = REPO / "prod_jax"
  named = {
    path
    for name, globs in patterns.items()
    for pattern in globs
    for path in REPO.joinpath(*name.split(".")).glob(pattern)
  }
  files = {path for path in package.rglob("*") if path.is_file()}
  assert named == {p for p in files if p.suffix not in (".py", ".pyc")}


def test_what_is_named_in_the_script_is_on_the_page():
  html, script = (
    (PAGE / name).read_text() for name in ("index.html", "page.js")
  )
  ids = set(re.findall(r'\bid="(\w+)"', html))
  assert set(re.findall(r'byId\("(\w+)"\)', script)) <= ids
  labelled = set(
    re.findall(r'\b(?:for|aria-labelledby|aria-describedby)="(\w+)"', html)
  )
  assert labelled <= ids
