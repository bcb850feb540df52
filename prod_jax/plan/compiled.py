"""A program compiled for a TPU slice that is not there, and what that shows.

Nothing runs: libtpu's compiler is asked, and its answer is kept on disk,
because a program takes a minute or more. Two stages whose programs differ in
constants only, such as learning rates, share an answer.
"""

import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import re
import time
from collections.abc import Callable
from typing import Any

import jax
from absl import logging
from jax.experimental import topologies

from prod_jax import storage, strict
from prod_jax.plan import cost
from prod_jax.plan.chips import Slice

# Where the answers are of another form than those on disk.
_FORM = 3
_TOO_LARGE = "CompileTimeHbmOom"
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True)
class Compiled:
  """What the compiler says of a program, for one device.

  Attributes:
    fits: in the device's memory.
    said: the compiler's words where it does not fit; then of what follows only
      `needs` and `seconds` are set.
    needs: bytes that it would need, without arguments.
    arguments, temporaries, outputs, code: bytes in HBM; outputs without those
      that take an argument's place.
    flops: XLA's count, elementwise work and random numbers among it; a loop's
      body counts as often as it is run.
    matmuls: of these, those of matrix products.
    moved: bytes read from and written to HBM.
    collectives: as in `cost`.
    seconds: that it took to compile.
    printed: its text could be had; else flops, matmuls, moved and collectives
      are not known.
  """

  fits: bool
  said: str = ""
  needs: int = 0
  arguments: int = 0
  temporaries: int = 0
  outputs: int = 0
  code: int = 0
  flops: float = 0.0
  matmuls: float = 0.0
  moved: int = 0
  collectives: tuple[cost.Collective, ...] = ()
  seconds: float = 0.0
  printed: bool = True

  @property
  def peak(self) -> int:
    """Bytes in HBM in all."""
    return self.arguments + self.temporaries + self.outputs + self.code


def without_a_tpu() -> None:
  """Makes JAX compile for TPUs and run on the CPU; to be called first of all.

  Raises:
    ConfigError: libtpu is not installed.
  """
  if importlib.util.find_spec("libtpu") is None:
    raise strict.ConfigError(
      "a plan asks the TPU compiler, which is not installed (no TPU is "
      "needed): pip install 'prod_jax[tpu]'"
    )
  # Two plans at once disturb nobody where there is no TPU.
  os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
  # Else libtpu looks for the host that it is on, and says so at length.
  os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
  os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
  os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-8")
  jax.config.update("jax_platforms", "cpu")
  # JAX cannot read back what it keeps of a program for absent devices.
  jax.config.update("jax_enable_compilation_cache", False)
  sources_by_name()


def sources_by_name() -> None:
  """Makes a program the same wherever this package and others lie.

  A Pallas kernel's has the paths of its sources, and an answer is kept by the
  program.
  """
  jax.config.update(
    "jax_hlo_source_file_canonicalization_regex",
    r"^.*/(?=(?:site-packages|dist-packages|prod_jax)/)",
  )


def devices(slice_: Slice) -> list[jax.Device]:
  """Devices of a slice, to compile for.

  Raises:
    ConfigError: for a grid that no slice has.
  """
  try:
    found = topologies.get_topology_desc(
      platform="tpu",
      topology_name=slice_.name,
      chip_config_name=slice_.chip.config,
    ).devices
  except jax.errors.JaxRuntimeError as error:
    raise strict.ConfigError(
      f"--topology={slice_.name}: {error}; name a slice that there is, such as "
      "v5e:2x4 or v5p:2x2x2"
    ) from error
  if len(found) != slice_.devices:
    raise strict.ConfigError(
      f"--topology={slice_.name}: libtpu sees {len(found)} devices where "
      f"{slice_.devices} were expected; this plan was written for libtpu 0.0.52"
    )
  return found


@dataclasses.dataclass
class Compiler:
  """Compiles, or remembers what compiling gave.

  Attributes:
    folder: where answers are kept.
    asked: how many programs have been compiled, not remembered.
  """

  folder: pathlib.Path
  asked: int = 0

  def __call__(
    self,
    slice_: Slice,
    count: int,
    lower: Callable[[], jax.stages.Lowered],
    what: str,
  ) -> Compiled:
    """The program that `lower` makes, compiled for the slice.

    Args:
      slice_: of whose devices it was lowered for some.
      count: of these devices.
      lower: makes the program.
      what: of which stage, for the log.
    """
    lowered = lower()
    path = self.folder / f"{_key(slice_, lowered.as_text())}.json"
    if kept := storage.read_object(path):
      return _restore(kept)
    self.asked += 1
    logging.info("%s: compiles (number %d)", what, self.asked)
    result = _compile(lowered, count)
    logging.info(
      "%s: %s, %.0f s",
      what,
      f"{result.peak / 2**30:.2f} GiB" if result.fits else "does not fit",
      result.seconds,
    )
    self.folder.mkdir(parents=True, exist_ok=True)
    with storage.whole_file(path, concurrent=True) as part:
      part.write_text(json.dumps(dataclasses.asdict(result), indent=1))
    return result


# jaxlib 0.10.2 cannot print a program that uses a SparseCore ("async-update
# instruction should have 1 operands"). This keeps the look-up of tables off it,
# which is all that v5p and v6e use it for here. On tpu7x it is in each train
# step, whatever of its collectives and look-ups is forbidden.
_OPTIONS: dict[str, Any] = {"xla_tpu_offload_gather_to_sparsecore": "false"}

# Learning rates, seeds and weights of terms; the numbers of steps are integers
# too. 0 and 1 may decide what is left out. Shapes are no constants.
_CONSTANT = re.compile(
  r"dense<(?!(?:[01]|[01]\.0+e\+00)>)[^>]*>"
  r"( : tensor<(?:(?:\d+x)*(?:f32|ui32)|i32)>)"
)


def without_constants(program: str) -> str:
  """The same text for all programs that differ in such constants only."""
  return _CONSTANT.sub(r"dense<_>\1", program)


def _key(slice_: Slice, program: str) -> str:
  program = without_constants(program)
  versions = [
    importlib.metadata.version(n) for n in ("jax", "jaxlib", "libtpu")
  ]
  flags = [os.environ.get(n, "") for n in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")]
  text = json.dumps([_FORM, slice_.name, versions, flags, program])
  return hashlib.sha256(text.encode()).hexdigest()[:32]


def _compile(lowered: jax.stages.Lowered, count: int) -> Compiled:
  began = time.monotonic()
  try:
    program = lowered.compile(compiler_options=_OPTIONS)
  except jax.errors.JaxRuntimeError as error:
    if _TOO_LARGE not in str(error):
      raise
    said = str(error).splitlines()[0].partition(f"{_TOO_LARGE}: ")[2]
    needs = re.search(r"\(([\d.]+)([KMGT])\)", said)
    size = float(needs[1]) * _UNITS[needs[2]] if needs else 0
    return Compiled(False, said, int(size), seconds=time.monotonic() - began)
  # Both are there for a TPU; other back ends may have neither.
  memory: Any = program.memory_analysis()
  found = Compiled(
    fits=True,
    arguments=memory.argument_size_in_bytes,
    temporaries=memory.temp_size_in_bytes,
    outputs=memory.output_size_in_bytes - memory.alias_size_in_bytes,
    code=memory.generated_code_size_in_bytes,
    seconds=time.monotonic() - began,
  )
  text = _text(program)
  if not text:
    return dataclasses.replace(found, printed=False)
  costs: Any = program.cost_analysis()
  counted = cost.of_program(text, count)
  # XLA's count has each loop's body once. A body's other FLOPs, a hundredth of
  # its matmuls', are taken to be repeated as those are.
  once = counted.matmuls_once
  again = counted.matmuls / once if once else 1.0
  return dataclasses.replace(
    found,
    flops=costs.get("flops", 0.0) * again,
    matmuls=counted.matmuls,
    moved=counted.moved,
    collectives=tuple(counted.collectives),
  )


def _text(program: jax.stages.Compiled) -> str:
  """The compiled program, to be read; "" where it cannot be printed."""
  try:
    return program.as_text() or ""
  except jax.errors.JaxRuntimeError as error:
    if "async-update" not in str(error):
      raise
    return ""


def _restore(stored: dict[str, Any]) -> Compiled:
  parts = tuple(cost.Collective(*part) for part in stored["collectives"])
  return Compiled(**{**stored, "collectives": parts})
