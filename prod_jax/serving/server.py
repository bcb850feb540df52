"""A process that serves a library until somebody ends it."""

import contextlib
import ipaddress
import socket
from collections.abc import Callable

import uvicorn

from prod_jax import strict
from prod_jax.serving import app
from prod_jax.serving.library import Library

_CONNECTIONS = 64


def serve(
  library: Library, host: str, port: int, ready: Callable[[str], None]
) -> None:
  """Serves a page and JSON, until SIGINT or SIGTERM.

  Args:
    library: that is searched.
    host: name or address to listen at.
    port: 0 is any that is free.
    ready: gets the page's address once it can be opened.

  Raises:
    ConfigError: nobody can listen there.
  """
  with _listen(host, port) as listening:
    only_here = is_here(host)
    config = uvicorn.Config(
      app.make(library, only_here=only_here),
      log_level="warning",
      access_log=False,
      server_header=False,
      proxy_headers=False,
      lifespan="off",
      limit_concurrency=_CONNECTIONS,
      timeout_graceful_shutdown=2,
    )
    name = f"[{host}]" if ":" in host else host
    ready(f"http://{name}:{listening.getsockname()[1]}/")
    with contextlib.suppress(KeyboardInterrupt):  # which is how it ends
      uvicorn.Server(config).run(sockets=[listening])


def is_here(host: str) -> bool:
  """Whether only this machine can reach it."""
  if host == "localhost":
    return True
  try:
    return ipaddress.ip_address(host).is_loopback
  except ValueError:
    return False


def _listen(host: str, port: int) -> socket.socket:
  family = socket.AF_INET6 if ":" in host else socket.AF_INET
  try:
    return socket.create_server((host, port), family=family)
  except (OSError, OverflowError) as error:
    raise strict.ConfigError(
      f"--port: nobody can listen at {host}:{port} ({error}); name another one"
    ) from error
