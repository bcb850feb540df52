"""What may change a digit besides config and data: code, versions, processor.

A run writes it beside each figure, and an export beside its weights.
"""

import importlib.metadata
import os
import pathlib
import platform
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

import jax

PACKAGES = (
  "prod_jax",
  "jax",
  "jaxlib",
  "flax",
  "optax",
  "numpy",
  "tokenizers",
  "scann",
)
CHANGED = "+changes"
CPU_INFO = pathlib.Path("/proc/cpuinfo")
_PACKAGE = pathlib.Path(__file__).parent


def here(devices: Sequence[jax.Device]) -> dict[str, Any]:
  """What this process works with, as entries of a row."""
  return {
    "commit": commit(),
    "versions": versions(),
    "processor": processor(devices),
    "devices": len(devices),
  }


def commit(package: pathlib.Path = _PACKAGE) -> str | None:
  """Of the clone that a package lies in, None where it is in none.

  `CHANGED` stands behind it where the package holds other code than the commit.
  """
  if not (package.parent / ".git").exists() or not shutil.which("git"):
    return None
  name = _git(package, "rev-parse", "HEAD")
  changed = _git(package, "status", "--porcelain", "--", ".")
  return f"{name}{CHANGED * bool(changed)}" if name else None


def short(commit: str | None) -> str:
  """A commit for people, with what stands behind it; "unknown" for None."""
  if commit is None:
    return "unknown"
  return f"{commit[:12]}{CHANGED * commit.endswith(CHANGED)}"


def versions() -> dict[str, str]:
  """Of Python, and of the packages whose version may change a digit."""
  found = {"python": platform.python_version()}
  for name in PACKAGES:
    try:
      found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      continue
  return found


def processor(devices: Sequence[jax.Device]) -> str:
  """The kind of the devices; of a CPU its name, and the cores that it lends.

  How a CPU's sums are divided depends on the cores, and with it the last digit.
  """
  if devices[0].platform != "cpu":
    return devices[0].device_kind
  lent = getattr(os, "sched_getaffinity", None)  # of Linux alone
  cores = len(lent(0)) if lent else os.cpu_count() or 1
  return f"{_cpu()}, {cores} core{'s' * (cores > 1)}"


def _cpu() -> str:
  """Its name; makers give several generations the same one."""
  text = CPU_INFO.read_text() if CPU_INFO.exists() else ""
  cut = (line.partition(":") for line in text.splitlines())
  said = {key.strip(): value.strip() for key, _, value in cut}
  name = said.get("model name", platform.machine())
  if "cpu family" not in said:
    return name
  return f"{name}, family {said['cpu family']}, model {said['model']}"


def _git(folder: pathlib.Path, *arguments: str) -> str:
  """What git prints; "" where it fails."""
  done = subprocess.run(
    # It is asked only, while another git may be at work in the clone.
    ["git", "--no-optional-locks", *arguments],
    cwd=folder,
    capture_output=True,
    text=True,
  )
  return done.stdout.strip()
