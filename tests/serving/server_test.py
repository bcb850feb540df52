"""The process that serves: where it listens, and what its sockets take."""

import http.client
import pathlib
import socket
from urllib.parse import urlsplit

import pytest

pytest.importorskip("uvicorn", reason="of the extra serve")

from prod_jax import strict
from prod_jax.serving import server


@pytest.mark.parametrize(
  ("host", "names"),
  [
    ("localhost", {"localhost", "127.0.0.1"}),
    ("127.0.0.5", {"127.0.0.5"}),
    ("127.1", {"127.1", "127.0.0.1"}),  # a name that leads here
    ("0.0.0.0", None),
  ],
)
def test_where_it_listens_says_whose_requests_it_takes(
  library, monkeypatch, host, names
):
  made = []
  monkeypatch.setattr(server.app, "make", lambda _, names: made.append(names))
  monkeypatch.setattr(server.uvicorn.Server, "run", lambda *_, **__: None)
  server.serve(library, host, 0, made.append)
  assert made[0] == names
  assert made[1].startswith(f"http://{host}:")


def test_no_host_is_not_every_host(library):
  with pytest.raises(
    strict.ConfigError, match=r"--host names nothing; 0.0.0.0"
  ):
    server.serve(library, "", 0, print)


def test_a_port_that_is_taken_is_a_line(library):
  with socket.create_server(("127.0.0.1", 0)) as taken:
    port = taken.getsockname()[1]
    with pytest.raises(
      strict.ConfigError,
      match=rf"--port: nobody can listen at 127.0.0.1:{port}",
    ):
      server.serve(library, "127.0.0.1", port, lambda _: None)
  for host, number in (("127.0.0.1", 70_000), ("no.such.host.invalid", 0)):
    with pytest.raises(strict.ConfigError, match="--port: nobody can listen"):
      server.serve(library, host, number, lambda _: None)


def test_a_long_address_does_not_end_it(served):
  where = urlsplit(served)
  for path, code in {
    "/": 200,
    f"/api/search?q={'x' * 100_000}": 400,
    "/api/search?q=garel": 200,
  }.items():
    connection = http.client.HTTPConnection(where.hostname, where.port)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.status == code
    assert "server" not in {name.lower() for name, _ in answer.getheaders()}
    assert str(pathlib.Path.cwd()) not in text
    connection.close()
