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
    address = listening.getsockname()[0]
    only_here = ipaddress.ip_address(address).is_loopback
    config = uvicorn.Config(
      app.make(library, {host, address} if only_here else None),
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


def _listen(host: str, port: int) -> socket.socket:
  if not host:  # which would be every address of this machine
    raise strict.ConfigError(
      "--host names nothing; 0.0.0.0 is for all who reach this machine"
    )
  family = socket.AF_INET6 if ":" in host else socket.AF_INET
  try:
    return socket.create_server((host, port), family=family)
  except (OSError, OverflowError) as error:
    raise strict.ConfigError(
      f"--port: nobody can listen at {host}:{port} ({error}); name another one"
    ) from error
