"""python -m launch.tpu COMMAND launch/mine.toml

Creates a TPU slice, runs prod_jax on it, and gives it back: launch/README.md.
Needs gcloud and this repository, nothing installed. Its slices are queued
resources, which end with v6e; skypilot.py and xpk.py serve the rest.
"""

import argparse
import logging
import pathlib
import sys
import tempfile

from launch.cloud import Cloud, CloudError, check_queued, load
from launch.restart import await_slices, restart, summary
from prod_jax.strict import ConfigError

COMMANDS = {
  "create": "ask for the slice and wait for it",
  "sync": "copy the code to all VMs and install what the lock file says",
  "run": "start the program on all VMs; it outlives the connection",
  "logs": "follow the log",
  "status": "what there is of the slice, and of the program on each VM",
  "stop": "stop the program, which saves a checkpoint first",
  "restart": "all of this as needed, again and again, until the run is done",
  "delete": "give the slice back; it costs until then",
}


def parse(argv: list[str]) -> argparse.Namespace:
  """Reads the command line."""
  parser = argparse.ArgumentParser(prog="python -m launch.tpu")
  commands = parser.add_subparsers(dest="command", required=True)
  for name, about in COMMANDS.items():
    command = commands.add_parser(name, help=about, description=about)
    command.add_argument("settings", help="settings file, see launch/*.toml")
    command.add_argument(
      "--dry_run", action="store_true", help="print the commands, run none"
    )
    if name == "logs":
      command.add_argument(
        "--worker", default="0", help="number of the VM whose log it is, or all"
      )
      command.add_argument(
        "--slice", default="0", help="number of the slice of that VM, or all"
      )
    if name == "restart":
      command.add_argument(
        "--delete_when_done",
        action="store_true",
        help="delete the slice at the end, also if the run has failed",
      )
    if name == "delete":
      command.add_argument(
        "--yes", action="store_true", help="delete without asking"
      )
  return parser.parse_args(argv)


def do(args: argparse.Namespace, cloud: Cloud) -> int:
  """Carries out one command; returns the exit code."""
  match args.command:
    case "create":
      cloud.create()
      await_slices(cloud)
    case "sync":
      cloud.sync()
    case "run":
      cloud.run(await_slices(cloud).hosts)
    case "logs":
      cloud.logs(args.worker, args.slice)
    case "status":
      slices = cloud.look()
      logging.info("%s: %s", slices.what, slices.about)
      if slices.what == "ready" or cloud.dry_run:
        logging.info("%s", summary(cloud.runs()))
    case "stop":
      logging.info("%s", summary(cloud.stop()))
    case "restart":
      return _restart(args, cloud)
    case "delete":
      if not (args.yes or args.dry_run):
        _ask(cloud)
      cloud.delete()
  return 0


def _restart(args: argparse.Namespace, cloud: Cloud) -> int:
  if cloud.dry_run:
    cloud.create()
    cloud.look()
    cloud.runs()
    cloud.stop()
    cloud.sync()
    cloud.run(hosts=0)
    cloud.delete()
    return 0
  code = restart(cloud)
  if args.delete_when_done:
    cloud.delete()
  else:
    logging.info(
      "the slice is still there and costs: python -m launch.tpu delete %s",
      args.settings,
    )
  return code


def _ask(cloud: Cloud) -> None:
  s = cloud.settings
  if not sys.stdin.isatty():
    raise ConfigError(f"delete {s.name}: say --yes, no one is here to ask")
  try:
    said = input(f"Delete {s.name} in {s.zone} ({s.project})? [y/N] ")
  except EOFError:
    said = ""
  if said != "y":
    raise ConfigError(f"{s.name} was not deleted")


def main(argv: list[str]) -> int:
  """Runs one command.

  Returns:
    0 if done, 1 if gcloud failed or a run was given up, 2 if settings or config
    are wrong, 130 if interrupted.
  """
  logging.basicConfig(
    level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S"
  )
  args = parse(argv)
  try:
    settings = load(args.settings)
    check_queued(settings)
    with tempfile.TemporaryDirectory() as folder:
      return do(args, Cloud(settings, pathlib.Path(folder), args.dry_run))
  except ConfigError as error:
    logging.error("%s", error)
    return 2
  except CloudError as error:
    logging.error("%s", error)
    return 1
  except KeyboardInterrupt:
    logging.info("no longer watching; what runs on the VMs runs on")
    return 130


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
