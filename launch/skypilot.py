"""python -m launch.skypilot launch/mine.toml > build/task.yaml

Writes a settings file as a task of SkyPilot, which finds a slice in any zone of
the region, runs there, and starts again after a preemption:

    sky jobs launch build/task.yaml

Needs nothing installed; SkyPilot's own check of the file is in
tests/launch/others_test.py. It knows chips up to v6e.
"""

import argparse
import json
import logging
import shlex
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from launch.cloud import Settings, load, need, program
from prod_jax.strict import ConfigError

PYTHON = "~/venv/bin/python"


def task(settings: Settings) -> dict[str, Any]:
  """The task as a mapping.

  Raises:
    ConfigError: the slice is none that SkyPilot starts.
  """
  need(
    settings,
    settings.slices == 1,
    "slices",
    "SkyPilot starts one slice; several are for launch.tpu and launch.xpk",
  )
  need(
    settings,
    not settings.accelerator.startswith("tpu7x"),
    "accelerator",
    "SkyPilot 0.14 ends with v6e; see python -m launch.xpk",
  )
  need(settings, settings.runtime != "", "runtime", "fill it in")
  region = settings.zone.rpartition("-")[0]
  flags = shlex.join(program(settings))
  return {
    "name": settings.name,
    "resources": {
      # The bucket is in the region; a zone may have no room.
      "infra": f"gcp/{region}",
      "accelerators": f"tpu-{settings.accelerator}",
      "accelerator_args": {"runtime_version": settings.runtime},
      "use_spot": settings.spot,
      "job_recovery": {
        "strategy": "FAILOVER",  # the same zone first
        # A checkpoint was saved. Not 76: one broken host makes the others say
        # that, and such a run would be started again for ever.
        "recover_on_exit_codes": [75],
        "max_restarts_on_errors": settings.max_restarts,
      },
    },
    "workdir": ".",
    "setup": "launch/install.sh ~/venv",
    # As in worker.sh: they may be of a slice that is gone.
    "run": f'unset "${{!MEGASCALE_@}}"\n{PYTHON} -m prod_jax.main {flags}\n',
  }


def lines(value: Mapping[str, Any], indent: str = "") -> Iterator[str]:
  """YAML of nested mappings; whatever is JSON is YAML as well."""
  for key, item in value.items():
    if isinstance(item, Mapping):
      yield f"{indent}{key}:"
      yield from lines(item, f"{indent}  ")
    else:
      yield f"{indent}{key}: {json.dumps(item, ensure_ascii=False)}"


def main(argv: list[str]) -> int:
  """Prints the file; 0, or 2 where the settings are wrong."""
  parser = argparse.ArgumentParser(prog="python -m launch.skypilot")
  parser.add_argument("settings", help="settings file, see launch/*.toml")
  args = parser.parse_args(argv)
  try:
    sys.stdout.writelines(f"{x}\n" for x in lines(task(load(args.settings))))
  except ConfigError as error:
    logging.error("%s", error)
    return 2
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
