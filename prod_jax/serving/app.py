"""The library for HTTP: a page, what it is made of, and JSON.

Whoever can reach it may search, and do nothing else. The page loads nothing
from elsewhere, and a browser is told to let it load nothing. Errors say what
was wrong with a request and nothing of this machine.
"""

import functools
import pathlib
import re
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders, QueryParams
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prod_jax.report import style
from prod_jax.serving.library import (
  MOST_HITS,
  Asked,
  BadQuery,
  Library,
  Unknown,
)

HERE = ("localhost", "127.0.0.1", "[::1]", "::1")  # names of this machine
AT_ONCE = 2  # searches; each of them takes all cores
WAITING = 16  # searches that may wait for these
A_SECOND, AT_FIRST = 50, 200  # searches, for hours and for a moment
_SHOWN = 60  # characters of a name that is not known
_PAGE = pathlib.Path(__file__).parent / "page"
_FILES = {
  "/": ("index.html", "text/html"),
  "/page.css": ("page.css", "text/css"),
  "/page.js": ("page.js", "text/javascript"),
  "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_LIGHT, _DARK = map(style.variables, (style.LIGHT, style.DARK))
# As the report's, but for who has chosen one of the two.
_PALETTE = f"""
:root {{ color-scheme: light dark; {_LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
:root[data-theme="light"] {{ color-scheme: light; {_LIGHT} }}
:root[data-theme="dark"] {{ color-scheme: dark; {_DARK} }}
"""
_HEADERS = {
  "Content-Security-Policy": (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
  ),
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
  "Cache-Control": "no-store",
}


def make(
  library: Library, names: Collection[str] | None = frozenset()
) -> ASGIApp:
  """The application.

  Args:
    library: that is searched.
    names: of this machine, besides those that are everywhere. Requests that
      name another host are refused: a page of somebody's, whose name was
      turned to this machine's address, could read the answers else. None
      takes requests for all hosts.
  """
  allowed = ["*"] if names is None else [*{*HERE, *names}]
  routes = [
    Route(path, functools.partial(_send_file, *_read(*file)))
    for path, file in _FILES.items()
  ]
  routes += [
    Route("/api/systems", functools.partial(_systems, library)),
    Route("/api/search", _Search(library).answer),
  ]
  app = Starlette(
    routes=routes,
    exception_handlers={HTTPException: _refuse, Exception: _fail},
  )
  return _with_headers(_of_hosts(app, allowed))


def _read(name: str, kind: str) -> tuple[str, str]:
  text = (_PAGE / name).read_text(encoding="utf-8")
  if name.endswith(".css"):
    text = f"{_PALETTE}{text}"
  return text, kind


async def _send_file(text: str, kind: str, request: Request) -> Response:
  del request
  return Response(text, media_type=kind)


async def _systems(library: Library, request: Request) -> Response:
  _check_site(request)
  return JSONResponse(library.described())


class _Search:
  """Answers queries, some at once; others wait, or are told to come again."""

  def __init__(self, library: Library):
    self._library = library
    self._limiter: CapacityLimiter | None = None  # of the loop that runs
    self._waiting = 0
    self._left, self._at = float(AT_FIRST), _now()

  async def answer(self, request: Request) -> Response:
    _check_site(request)
    asked = _asked(request.query_params, self._library)
    self._count()
    if self._waiting >= WAITING:
      raise HTTPException(
        503, "too many searches at once", {"Retry-After": "1"}
      )
    self._limiter = self._limiter or CapacityLimiter(AT_ONCE)
    self._waiting += 1
    try:
      async with self._limiter:
        if await request.is_disconnected():
          return Response(status_code=204)  # somebody has typed on
        answer = await anyio.to_thread.run_sync(self._library.answer, asked)
    except Unknown as error:
      raise HTTPException(
        404, f"there is no such system: {error.args[0][:_SHOWN]!r}"
      ) from error
    except BadQuery as error:
      raise HTTPException(400, str(error)) from error
    finally:
      self._waiting -= 1
    return JSONResponse(answer)

  def _count(self) -> None:
    """Raises HTTPException where more come than somebody could type."""
    now = _now()
    gained = A_SECOND * (now - self._at)
    self._left, self._at = min(AT_FIRST, self._left + gained), now
    if self._left < 1:
      raise HTTPException(429, "too many searches", {"Retry-After": "1"})
    self._left -= 1


def _now() -> float:
  return time.monotonic()


def _check_site(request: Request) -> None:
  """Raises HTTPException for what the page of another site asks for.

  It would not see the answer, but each one costs.
  """
  if request.headers.get("sec-fetch-site") == "cross-site":
    raise HTTPException(403, "pages of other sites are not answered")


def _asked(given: QueryParams, library: Library) -> Asked:
  """A search as its address says it.

  Raises:
    HTTPException: it says something else.
  """
  if set(given) - {"q", "system", "before", "k"}:
    raise HTTPException(400, "it takes q, system, before and k")
  if "q" not in given:
    raise HTTPException(400, "q, the query, is missing")
  hits = given.get("k", "10")
  if not (re.fullmatch("[0-9]{1,3}", hits) and 1 <= int(hits) <= MOST_HITS):
    raise HTTPException(400, f"k is a number from 1 to {MOST_HITS}")
  return Asked(
    given["q"],
    given.get("system", library.chosen),
    given.get("before", ""),
    int(hits),
  )


async def _refuse(request: Request, error: Exception) -> Response:
  assert isinstance(error, HTTPException)
  del request
  return _error(error.status_code, error.detail, error.headers)


async def _fail(request: Request, error: Exception) -> Response:
  """What the error says is for the log, where starlette's server puts it."""
  del request, error
  return _error(500, "the search has failed; the server's log says why")


def _error(
  code: int, said: str, headers: Mapping[str, str] | None = None
) -> Response:
  return JSONResponse({"error": said}, code, headers)


def _of_hosts(app: ASGIApp, allowed: Sequence[str]) -> ASGIApp:
  """The same for requests that name one of these hosts; others are errors."""

  async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    taken = False

    async def take(*request: Any) -> None:
      nonlocal taken
      taken = True
      await app(*request)

    async def send_own(message: Message) -> None:
      if taken:  # the refusal in its place is a line of text
        await send(message)

    known = TrustedHostMiddleware(take, allowed, www_redirect=False)
    await known(scope, receive, send_own)
    if not taken:
      refused = _error(400, "the Host header names another host than this one")
      await refused(scope, receive, send)

  return answer


def _with_headers(app: ASGIApp) -> ASGIApp:
  """The same, with what a browser is told of each answer."""

  async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    async def send_more(message: Message) -> None:
      if message["type"] == "http.response.start":
        MutableHeaders(scope=message).update(_HEADERS)
      await send(message)

    await app(scope, receive, send_more)

  return answer
