"""Known weaknesses of the packages in requirements.lock, by pip-audit.

`make audit` runs it. pip-audit reports nothing found where PyPI has not
answered, package by package: what was not looked up is told, and a report is
only written where something was.
"""

import json
import platform
import subprocess
import sys
from typing import Any

from prod_jax import origin
from tests.commands import REPO

OUT = REPO / "benchmarks" / "reliability" / "security.json"
COLUMNS = ("package", "version", "weakness", "mended in")


def main(pip_audit: str) -> int:
  """Asks, and writes the report; returns how the process is to end."""
  command = [pip_audit, "--disable-pip", "--require-hashes", "-f", "json"]
  lock = str(REPO / "requirements.lock")
  done = subprocess.run(
    [*command, "-r", lock, "--progress-spinner", "off"],
    capture_output=True,
    text=True,
  )
  if not done.stdout:
    sys.stderr.write(f"pip-audit did not run: {done.stderr}\n")
    return 2
  packages = json.loads(done.stdout)["dependencies"]
  said = report(packages)
  if said is None:
    sys.stderr.write(
      f"nothing was audited: PyPI gave no answer of any of {len(packages)} "
      "packages; run it where PyPI's JSON interface is reached\n"
    )
    return 2
  said["commit"] = origin.commit() or ""
  OUT.parent.mkdir(parents=True, exist_ok=True)
  OUT.write_text(json.dumps(said, indent=1) + "\n")
  sys.stdout.write(f"{said['notes'][0]}: {OUT}\n")
  return int(bool(said["rows"]))


def report(packages: list[dict[str, Any]]) -> dict[str, Any] | None:
  """The table of what was found; None where nothing was looked up."""
  asked = [package for package in packages if "vulns" in package]
  if not asked:
    return None
  rows = [
    [
      package["name"],
      package["version"],
      weakness["id"],
      ", ".join(weakness["fix_versions"]),
    ]
    for package in asked
    for weakness in package["vulns"]
  ]
  return {
    "title": "Known weaknesses of the locked packages",
    "command": "make audit",
    "machine": platform.platform(),
    "python": platform.python_version(),
    "columns": list(COLUMNS),
    "rows": rows,
    "notes": [
      f"{len(rows)} in {len(asked)} packages",
      *(
        f"{package['name']} was not looked up: {package['skip_reason']}"
        for package in packages
        if "vulns" not in package
      ),
    ],
  }


if __name__ == "__main__":
  sys.exit(main(*sys.argv[1:]))
