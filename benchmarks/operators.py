"""What share of its time a piece of work spends in which operators.

By JAX's profiler here and by torch's there. The work runs once more for it,
since to watch it slows it down.
"""

import collections
import pathlib
import re
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

# By YNNPACK or XLA itself: products of matrices, and what is fused with them.
_XLA_PRODUCT = re.compile(r"ynn_fusion|dot")
_LOOP = re.compile(r"while|call|conditional")  # their parts are there too
_TORCH_PRODUCT = re.compile(r"aten::(\w*mm|_scaled_dot_product_\w+)$")


def xla(run: Callable[[], Any]) -> dict[str, Any]:
  """Shares of the time of XLA's operators; `run` has been compiled."""
  import jax

  options = jax.profiler.ProfileOptions()
  options.python_tracer_level = 0
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder, profiler_options=options):
      run()
    (file,) = pathlib.Path(folder).rglob("*.xplane.pb")
    found = jax.profiler.ProfileData.from_file(str(file))
  seconds: collections.Counter[str] = collections.Counter()
  for plane in found.planes:
    for line in plane.lines:
      for event in line.events:
        if any(key == "hlo_op" for key, _ in event.stats):
          name = re.sub(r"[.\d]+$", "", event.name)
          if not _LOOP.match(name):
            seconds[name] += event.duration_ns / 1e9
  return shares(seconds, _XLA_PRODUCT)


def torch(run: Callable[[], Any]) -> dict[str, Any]:
  """The same of torch's operators."""
  import torch as framework

  with framework.profiler.profile() as found:
    run()
  seconds = {
    event.key: event.self_cpu_time_total / 1e6
    for event in found.key_averages()
    if event.key.startswith("aten::")
  }
  return shares(seconds, _TORCH_PRODUCT)


def shares(
  seconds: Mapping[str, float], product: re.Pattern[str]
) -> dict[str, Any]:
  """The share of products, and which of the others takes most."""
  whole = sum(seconds.values())
  others = {k: v for k, v in seconds.items() if not product.match(k)}
  largest = max(others, key=others.__getitem__)
  return {
    "products": 1 - sum(others.values()) / whole,
    "largest": largest,
    "largest_share": others[largest] / whole,
  }
