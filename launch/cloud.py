"""One TPU slice, or several joined: each thing that is done to it by gcloud.

`queued-resources ssh` and `scp` reach all VMs of one slice and of many alike,
so a multislice needs no second path. No decisions here: those are restart.py's.
"""

import dataclasses
import json
import logging
import os
import pathlib
import re
import shlex
import subprocess
import tarfile
import tomllib
from typing import Literal

from prod_jax import strict

REPO = pathlib.Path(__file__).parents[1]
# On the VMs, below the home directory.
WORKER = "prod_jax/code/launch/worker.sh"
ARCHIVE = "prod_jax.tar.gz"
UNPACK = (
  "mkdir -p prod_jax && cd prod_jax && "
  "(flock -n lock true || ! echo 'a run is going on; stop it first' >&2) && "
  f"rm -rf code && mkdir code && tar -xzf ../{ARCHIVE} -C code && "
  "bash code/launch/install.sh venv"
)
# Ends a connection to a VM that is gone, instead of waiting for it for hours.
KEEP_ALIVE = "-oServerAliveInterval=30"

ON_THE_WAY = {
  *("CREATING", "ACCEPTED", "WAITING_FOR_RESOURCES", "PROVISIONING"),
  *("SUSPENDING", "DELETING"),  # soon SUSPENDED, or absent
}
GONE = {"PREEMPTED", "TERMINATED", "DELETING"}


class CloudError(RuntimeError):
  """gcloud could not do it, or not all VMs answered."""


@dataclasses.dataclass(frozen=True)
class Settings:
  """A settings file; launch/README.md says what each key is."""

  project: str
  zone: str
  name: str
  accelerator: str
  spot: bool
  config: str
  workdir: str
  runtime: str = ""
  cluster: str = ""
  image: str = ""
  flags: tuple[str, ...] = ()
  slices: int = 1
  max_restarts: int = 3
  price: float = 0.0
  create_flags: tuple[str, ...] = ()
  ssh_flags: tuple[str, ...] = ()


def load(path: str) -> Settings:
  """Reads a settings file, strictly.

  Raises:
    ConfigError: names the file, the key and the remedy.
  """
  try:
    raw = tomllib.loads(pathlib.Path(path).read_text(encoding="utf-8-sig"))
    settings = strict.section(Settings, raw, "settings")
    _check(settings)
  except OSError as error:
    raise strict.ConfigError(f"{path}: {error.strerror}") from error
  # Also of bytes that are no text, numbers too long, and brackets too deep.
  except (ValueError, RecursionError) as error:
    raise strict.ConfigError(f"{path}: {error}") from error
  return settings


def need(settings: Settings, holds: bool, key: str, remedy: str) -> None:
  """Raises ConfigError with the key and its value, unless it holds."""
  if not holds:
    value = getattr(settings, key)
    raise strict.ConfigError(f"settings.{key} is {value!r}; {remedy}")


def check_queued(settings: Settings) -> None:
  """Raises ConfigError for what queued resources do not serve."""
  need(
    settings,
    not settings.accelerator.startswith("tpu7x"),
    "accelerator",
    "queued resources end with v6e; see python -m launch.xpk",
  )
  need(settings, settings.runtime != "", "runtime", "fill it in")


def _check(settings: Settings) -> None:
  for field in dataclasses.fields(settings):
    given = getattr(settings, field.name) != "" or field.default == ""
    need(settings, given, field.name, "fill it in")
  need(
    settings,
    bool(re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", settings.name)),
    "name",
    "it takes a-z, 0-9 and -, from a letter on",
  )
  need(
    settings,
    settings.workdir.startswith("gs://"),
    "workdir",
    "it takes gs://BUCKET/RUN: the VMs' disks go when the slice goes",
  )
  config = settings.config.partition(":")[0]
  need(
    settings,
    not os.path.isabs(config)
    and (REPO / config).is_file()
    and not os.path.normpath(config).startswith(os.pardir),
    "config",
    f"it takes a path within {REPO}, whose files a slice gets",
  )
  need(settings, settings.slices >= 1, "slices", "it takes 1 or more")
  restarts = settings.max_restarts
  need(settings, restarts >= 0, "max_restarts", "it takes 0 or more")


def program(settings: Settings) -> list[str]:
  """The flags of prod_jax.main."""
  where = [f"--config={settings.config}", f"--workdir={settings.workdir}"]
  return [*where, *settings.flags]


@dataclasses.dataclass(frozen=True)
class State:
  """What there is of the slices, and on how many VMs when ready."""

  what: Literal["absent", "waiting", "ready", "preempted", "refused"]
  about: str
  hosts: int = 0


@dataclasses.dataclass(frozen=True)
class Cloud:
  """The slices of one settings file.

  Attributes:
    settings: which slices, and what runs on them.
    folder: where the code is packed.
    dry_run: print each command instead of running it.
  """

  settings: Settings
  folder: pathlib.Path
  dry_run: bool = False

  def gcloud(self, *words: str, capture: bool = False) -> str:
    """Runs `gcloud compute tpus ...`; returns its output if captured."""
    where = [
      f"--project={self.settings.project}",
      f"--zone={self.settings.zone}",
    ]
    argv = ["gcloud", "compute", "tpus", *words, *where, "--quiet"]
    if self.dry_run:
      print(shlex.join(argv))
      return ""
    pipe = subprocess.PIPE if capture else None
    try:
      done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
      )
    except FileNotFoundError as error:
      raise CloudError(
        "gcloud is not on PATH; see https://cloud.google.com/sdk/docs/install"
      ) from error
    if done.returncode:
      why = (done.stderr or "").strip()
      raise CloudError(f"exit {done.returncode} of {shlex.join(argv)}\n{why}")
    return done.stdout or ""

  def create(self) -> None:
    """Asks for the slices; they come when there is room."""
    s = self.settings
    if s.slices == 1:
      nodes = [f"--node-id={s.name}"]
    else:
      nodes = [f"--node-count={s.slices}", f"--node-prefix={s.name}"]
    self.gcloud(
      *("queued-resources", "create", s.name),
      f"--accelerator-type={s.accelerator}",
      f"--runtime-version={s.runtime}",
      *nodes,
      *(["--spot"] if s.spot else []),
      *s.create_flags,
    )

  def look(self) -> State:
    """Asks what there is of the slices."""
    queued = self._list("queued-resources")
    nodes = self._list("tpu-vm")
    if self.dry_run:
      return State("absent", "dry run, not asked")
    request = queued.get(self.settings.name)
    if request is None:
      return State("absent", "no such queued resource")
    state = request["state"]["state"]
    if state == "SUSPENDED":
      return State("preempted", f"queued resource {state}")
    if state in ON_THE_WAY:
      return State("waiting", f"queued resource {state}")
    if state != "ACTIVE":
      reason = request["state"].get("failedData", {}).get("error", {})
      about = f"queued resource {state} {reason.get('message', '')}"
      return State("refused", about.strip())

    found = [
      node
      for node in nodes.values()
      if node.get("queuedResource", "").split("/")[-1] == self.settings.name
    ]
    states = sorted(node["state"] for node in found)
    about = f"nodes {' '.join(states)}"
    if GONE & set(states):
      return State("preempted", about)
    if states != ["READY"] * self.settings.slices:
      return State("waiting", about)
    hosts = sum(len(node["networkEndpoints"]) for node in found)
    return State("ready", f"{about}, {hosts} VMs", hosts)

  def pack(self) -> pathlib.Path:
    """The code as it was when this was first called, in one file."""
    archive = self.folder / ARCHIVE
    if not (self.dry_run or archive.exists()):
      _pack(archive, self.settings.config.partition(":")[0])
    return archive

  def sync(self) -> None:
    """Copies the code to all VMs and installs what its lock file says."""
    archive, name = self.pack(), self.settings.name
    self.gcloud(
      *("queued-resources", "scp", str(archive), f"{name}:{ARCHIVE}"),
      *("--node=all", "--worker=all", f"--scp-flag={KEEP_ALIVE}"),
      *self.settings.ssh_flags,
    )
    self._ssh(UNPACK)

  def run(self, hosts: int) -> None:
    """Starts the program on all VMs, where it outlives this command."""
    started = self._worker("start", *program(self.settings))
    running = [host for host, state in started.items() if state == "running"]
    if len(running) < hosts and not self.dry_run:
      raise CloudError(
        f"{len(running)} of {hosts} VMs started: {started}; did you sync?"
      )
    logging.info("started on %d VMs", len(running))

  def stop(self) -> dict[str, str]:
    """Stops the program on all VMs; it saves a checkpoint first."""
    return self._worker("stop")

  def runs(self) -> dict[str, str]:
    """The state of the program by host, as worker.sh tells it."""
    return self._worker("status")

  def logs(self, worker: str, node: str) -> None:
    """Follows the log of one VM, or of all."""
    self._ssh("tail -n 100 -F prod_jax/run.log", node, worker)

  def delete(self) -> None:
    """Gives the slices back, with all that is on their disks."""
    self.gcloud("queued-resources", "delete", self.settings.name, "--force")

  def _list(self, kind: str) -> dict[str, dict]:
    text = self.gcloud(kind, "list", "--format=json", capture=True)
    return {x["name"].split("/")[-1]: x for x in json.loads(text or "[]")}

  def _worker(self, *words: str) -> dict[str, str]:
    command = (
      f"if [ -e {WORKER} ]; then bash {WORKER} {shlex.join(words)}; "
      'else echo "prod_jax $(hostname) none"; fi'
    )
    told = self._ssh(command, capture=True)
    return dict(re.findall(r"^prod_jax (\S+) (\w+)$", told, flags=re.MULTILINE))

  def _ssh(self, command, node="all", worker="all", capture=False) -> str:
    return self.gcloud(
      *("queued-resources", "ssh", self.settings.name),
      *(f"--node={node}", f"--worker={worker}", f"--ssh-flag={KEEP_ALIVE}"),
      *self.settings.ssh_flags,
      f"--command={command}",
      capture=capture,
    )


def _pack(archive: pathlib.Path, config: str) -> None:
  """What git knows or would add: not what .gitignore names.

  Raises:
    ConfigError: of these is the config, which the run would lack.
    CloudError: git does not say it.
  """
  try:
    listing = subprocess.run(
      ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
      cwd=REPO,
      capture_output=True,
      check=True,
      text=True,
    )
  except (OSError, subprocess.CalledProcessError) as error:
    said = getattr(error, "stderr", "") or error
    raise CloudError(
      f"git does not list the files of {REPO}: {str(said).strip()}"
    ) from error
  names = [n for n in sorted(set(listing.stdout.split("\0"))) if n]
  if os.path.normpath(config) not in names:
    raise strict.ConfigError(
      f"settings.config is {config!r}, which git ignores and a slice does not "
      "get; put it into configs/"
    )
  with tarfile.open(archive, "w:gz") as tar:
    for name in names:
      if (REPO / name).is_file():  # a deleted file is still listed
        tar.add(REPO / name, arcname=name)
  logging.info(
    "packed %d files, %.1f MB", len(names), archive.stat().st_size / 1e6
  )
