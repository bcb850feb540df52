"""python -m launch.xpk COMMAND launch/mine.toml

Prints a command of xpk, which runs containers on TPU slices of a GKE cluster,
tpu7x among them:

    python -m launch.xpk create launch/mine.toml          # the cluster
    python -m launch.xpk run launch/mine.toml | bash      # the run

Needs nothing installed; that xpk takes the commands is checked in
tests/launch/others_test.py.
"""

import argparse
import logging
import os
import shlex
import sys

from launch.cloud import Settings, load, need, program
from prod_jax.strict import ConfigError

COMMANDS = {
  "create": "a cluster with the slices; it costs until it is deleted",
  "run": "start the program on all VMs, again after each preemption",
  "list": "what runs in the cluster, and how it ended",
  "stop": "delete the workload; the slices stay",
  "delete": "delete the cluster with its slices",
}
# Of launch/Dockerfile. What is in place of a shell gets its signals.
PROGRAM = ("exec", "/opt/venv/bin/python", "-m", "prod_jax.main")
# A preemption counts as a restart. An exit code that is none of these, or below
# 127, ends the run at once.
RESTARTS, AGAIN = 50, "75,76"
PATIENCE = 120  # seconds for the checkpoint
LONGEST_NAME = 40


def command(name: str, settings: Settings) -> list[str]:
  """The command line.

  Raises:
    ConfigError: the settings are not enough for it.
  """
  s = settings
  need(s, s.cluster != "", "cluster", "name the cluster of GKE")
  cluster = f"--cluster={s.cluster}"
  where = [f"--project={s.project}", f"--zone={s.zone}"]
  slices = [f"--tpu-type={s.accelerator}", f"--num-slices={s.slices}"]
  match name:
    case "create":
      capacity = "--spot" if s.spot else "--on-demand"
      words = ["cluster", "create", cluster, *slices, capacity]
    case "run":
      words = ["workload", "create", cluster, *slices, *_run(s)]
    case "list":
      words = ["workload", "list", cluster]
    case "stop":
      words = ["workload", "delete", cluster, f"--workload={s.name}"]
    case _:
      words = ["cluster", "delete", cluster]
  return ["xpk", *words, *where]


def _run(settings: Settings) -> list[str]:
  need(
    settings,
    settings.image != "",
    "image",
    "name the container that launch/Dockerfile has made, in a registry",
  )
  need(
    settings,
    os.path.normpath(settings.config).startswith("configs/"),
    "config",
    "the container has those of configs/ alone; put it there",
  )
  need(
    settings,
    len(settings.name) <= LONGEST_NAME,
    "name",
    f"xpk takes {LONGEST_NAME} characters",
  )
  # It becomes a line of a YAML file.
  flags = program(settings)
  one_line = not any("\n" in flag for flag in flags)
  need(settings, one_line, "flags", "xpk takes no newline")
  return [
    f"--workload={settings.name}",
    f"--docker-image={settings.image}",
    f"--max-restarts={RESTARTS}",
    f"--restart-on-exit-codes={AGAIN}",
    f"--termination-grace-period-seconds={PATIENCE}",
    f"--command={shlex.join([*PROGRAM, *flags])}",
  ]


def main(argv: list[str]) -> int:
  """Prints the command; 0, or 2 where the settings are wrong."""
  parser = argparse.ArgumentParser(prog="python -m launch.xpk")
  commands = parser.add_subparsers(dest="command", required=True)
  for name, about in COMMANDS.items():
    one = commands.add_parser(name, help=about, description=about)
    one.add_argument("settings", help="settings file, see launch/*.toml")
  args = parser.parse_args(argv)
  try:
    line = shlex.join(command(args.command, load(args.settings)))
  except ConfigError as error:
    logging.error("%s", error)
    return 2
  sys.stdout.write(f"{line}\n")
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
