"""Commands as processes of their own, without the time of their imports.

`run` is `python -m MODULE …`: a server that has imported the libraries, though
nothing of ours, forks, and the fork runs the module as `__main__`. There is one
server for each environment, because JAX reads its variables when it is
imported, and none of them has used a device. `PRELOADED` in it names modules of
ours that are imported beforehand, too, for one who starts many commands.
"""

import atexit
import functools
import gc
import importlib
import importlib.metadata
import json
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile

REPO = pathlib.Path(__file__).parents[1]
# Prepared text and compiled programs, which do not change what is measured.
CACHE = REPO / ".pytest_cache" / "prod_jax"
# What makes a program in less than half of the time, and a slower one.
FAST = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "True"}
# From 0.12 on the compiler has no other emitters, and these are quick.
if importlib.metadata.version("jaxlib").startswith("0.10."):
  FAST["XLA_FLAGS"] = (
    "--xla_cpu_use_fusion_emitters=false"
    # A program is small, and the other core has a worker of its own.
    " --xla_cpu_parallel_codegen_split_count=1"
  )

# Nobody pulls the plug on a test, and a flush of the disk takes 15 ms.
os.fsync = lambda number: None

_LIBRARIES = (
  "absl.logging",
  "flax.linen",
  "grain",
  "jax.experimental.pallas.tpu",
  "jaxtyping",
  "ml_collections",
  "optax",
  "orbax.checkpoint",
  "requests",
  "safetensors.numpy",
  "scipy.cluster",
  "scipy.stats",
  "tensorflow_datasets",
  "tokenizers",
)


def environment(fast: bool = False, **more: str) -> dict[str, str]:
  """One device, as on a laptop; `fast` compiles quickly and runs slowly."""
  # What pytest says of the test that runs would be a new environment each time.
  own = {*FAST, "PYTEST_CURRENT_TEST"}
  return {
    **{name: value for name, value in os.environ.items() if name not in own},
    **(FAST if fast else {}),
    "JAX_PLATFORMS": "cpu",
    "JAX_COMPILATION_CACHE_DIR": str(CACHE / "compiled"),
    "PYTHONPATH": str(REPO),  # for commands in other folders
    **more,
  }


def run(
  module: str,
  *arguments: str,
  cwd: pathlib.Path = REPO,
  env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess:
  """`python -m MODULE ARGUMENTS` in a folder, `fast` without another `env`."""
  env = environment(fast=True) if env is None else env
  server = _server(tuple(sorted(env.items())))
  with tempfile.TemporaryDirectory() as folder:
    files = [os.path.join(folder, name) for name in ("stdout", "stderr")]
    request = {"words": [module, *arguments], "cwd": str(cwd), "files": files}
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    code = int(server.stdout.readline())
    said = [pathlib.Path(file).read_text() for file in files]
  words = [sys.executable, "-m", module, *arguments]
  return subprocess.CompletedProcess(words, code, *said)


@functools.cache
def _server(env: tuple[tuple[str, str], ...]) -> subprocess.Popen:
  """The process that forks for an environment; it ends with this one."""
  bytecode = tempfile.TemporaryDirectory()
  atexit.register(bytecode.cleanup)
  server = subprocess.Popen(
    [sys.executable, "-m", "tests.commands", bytecode.name],
    cwd=REPO,
    env=dict(env),
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  atexit.register(server.communicate)
  return server


def _serve() -> None:
  """Forks for each request, and tells the exit code; a fork returns."""
  for name in (*_LIBRARIES, *os.environ.get("PRELOADED", "").split()):
    importlib.import_module(name)
  gc.freeze()  # a fork neither copies nor collects what is there
  for line in sys.stdin:
    child = os.fork()
    if not child:
      # Of our modules, which each fork imports anew.
      sys.dont_write_bytecode, sys.pycache_prefix = False, sys.argv[1]
      _become(**json.loads(line))
      return
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)


def _become(words: list[str], cwd: str, files: list[str]) -> None:
  """This process is `python -m WORDS` from here to its end."""
  os.chdir(cwd)
  for number, path in enumerate(["/dev/null", *files]):
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    os.dup2(file, number)
    os.close(file)
  sys.stdin = os.fdopen(0, closefd=False)  # the server has read of its own
  sys.path[0] = os.getcwd()
  sys.argv = words
  runpy.run_module(words[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
  _serve()
