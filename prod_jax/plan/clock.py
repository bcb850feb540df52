"""How long programs take on this machine: a few steps of each, by the clock.

Weights are drawn, since no number takes longer than another. What two stages
have in common is measured once.
"""

import dataclasses
import hashlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from prod_jax import kinds, sharding
from prod_jax.batches import loader
from prod_jax.batches import rows as layout
from prod_jax.batches.rows import Joined
from prod_jax.batches.store import Slices
from prod_jax.models import Encoder
from prod_jax.models.build import shapes_of
from prod_jax.models.late import LateInteraction
from prod_jax.plan import compiled, sample
from prod_jax.plan.sample import Sample
from prod_jax.retrieval import encode, forward, rerank, search
from prod_jax.retrieval.forward import FrozenModel
from prod_jax.stages import examples, train
from prod_jax.stages.run import Job, OfTexts, Run
from prod_jax.train.step import compile_step

What = Literal["passages", "queries", "pairs", "triples"]

# Of training that are timed, behind one that is not; more where they are quick.
_STEPS, _MOST_STEPS = 4, 32
_BATCHES = 8  # of texts of each device
_SECONDS, _TIMES = 1.0, 3  # what is quicker is timed so often
_ROWS, _QUERIES = 50_000, 1024  # of a search that is scaled to a larger one


@dataclasses.dataclass(frozen=True)
class Took:
  """What was measured.

  Attributes:
    each: seconds of one step, text or query.
    once: seconds that the first one takes longer, since it is traced and
      compiled, or that an index takes to be made.
    memory: bytes of the program on one device, None where nothing says it.
  """

  each: float
  once: float
  memory: int | None


class Clock:
  """Measures the programs of a run's stages.

  Args:
    run: whose models and tokens they take.
    rows: of the data set.
  """

  def __init__(self, run: Run, rows: Sample):
    self._run, self._rows = run, rows
    self._steps: dict[str, Took] = {}
    self._compiled: set[str] = set()
    self._others: dict[Any, Took] = {}
    self._built: dict[Any, float] = {}
    self._texts: dict[str, dict[str, Any]] = {}

  def step(self, job: Job[kinds.Train]) -> Took:
    """A step of training, with its batch drawn and brought to the devices."""
    stage, mesh = job.stage, job.run.mesh
    batches = self._batches(job)
    teacher = _drawn(job.model_of("teacher")) if stage.teacher else None
    params, frozen = train.trees(
      stage,
      _drawn(job.run.model(stage.model)),
      teacher,
      train.beside(job),
      np.array,
    )
    step, first_state = train.step_of(job)
    jitted, state = compile_step(step, first_state(params), frozen, mesh)
    jit: Any = jitted.step
    with jax.set_mesh(mesh):
      batch = sharding.put_batch(next(batches), mesh, stage.batch_size)
      began = time.monotonic()
      lowered = jit.lower(state, jitted.frozen, batch)
      text = lowered.as_text()
      alike = _hash(compiled.without_constants(text))
      if alike not in self._steps:
        program = lowered.compile()
        first = time.monotonic() - began

        def run(state: Any, batch: Any) -> Any:
          return program(state, jitted.frozen, batch)

        def next_batch() -> Any:
          return sharding.put_batch(next(batches), mesh, stage.batch_size)

        state, metrics = run(state, batch)
        jax.block_until_ready(metrics)
        each = _each(run, next_batch, state)
        self._steps[alike] = Took(each, first, _memory(program))
    # What a run has compiled it reads again, if it is the same to the last
    # constant.
    took, known = self._steps[alike], _hash(text)
    if known in self._compiled:
      return dataclasses.replace(took, once=0.0)
    self._compiled.add(known)
    return took

  def texts(self, job: Job[OfTexts], role: str, what: What, count: int) -> Took:
    """A text of so many that a frozen model reads."""
    name, batch_tokens = job.model_name(role), job.stage.batch_tokens
    key = name, what, batch_tokens, min(count, _QUERIES)
    if key in self._others:
      return dataclasses.replace(self._others[key], once=0.0)
    model, tokens = job.model_of(role), self._of(name)
    frozen = FrozenModel.of(
      model,
      _drawn(model),
      special=tokens["special"],
      data=job.run.config.data,
      batch_tokens=batch_tokens,
    )
    texts = _texts(frozen, tokens, what, count)
    reading = _reading(frozen, what, texts)
    seen: list[Any] = []
    took = _timed(lambda: _read(frozen, reading, texts, seen))
    self._others[key] = Took(
      each=took.each / len(texts[0].length),
      once=took.once,
      memory=_memory_of(frozen, reading, seen),
    )
    return self._others[key]

  def search(
    self, kind: str, width: int, rows: int, queries: int, k: int
  ) -> Took:
    """A query of so many, by an index that is made for them."""
    n, q = min(rows, _ROWS), min(queries, _QUERIES)
    key = kind, width, n, q, k
    first = 0.0
    if key not in self._others:
      rng = np.random.default_rng(0)
      vectors, query_QD = (
        rng.standard_normal((size, width), np.float32) for size in (n, q)
      )
      began = time.monotonic()
      index = search.open_index(kind, vectors)
      self._built[key] = time.monotonic() - began
      self._others[key] = _timed(lambda: index.search(query_QD, k))
      first = self._others[key].once
    # Every stage makes an index of its own.
    return Took(
      each=self._others[key].each / q * rows / n,
      once=first + self._built[key] * rows / n,
      memory=None,
    )

  def _batches(self, job: Job[kinds.Train]) -> Any:
    return loader.batches(
      sample.learnt_from(job, self._rows),
      batch_size=job.stage.batch_size,
      seed=job.seed,
      local_rows=sharding.batch_rows(job.run.mesh, job.stage.batch_size),
      grouping=examples.grouping(job) if examples.packs(job) else None,
      steps=job.stage.steps,
    )

  def _of(self, model: str) -> dict[str, Any]:
    if model not in self._texts:
      self._texts[model] = sample.texts(self._run, model, self._rows)
    return self._texts[model]


def _each(
  run: Callable[[Any, Any], Any], next_batch: Callable[[], Any], state: Any
) -> float:
  """Seconds of a step, as the loop of a run makes them one after the other."""
  began, done, before = time.monotonic(), 0, None
  while done < _STEPS or (
    done < _MOST_STEPS and time.monotonic() - began < _SECONDS
  ):
    state, metrics = run(state, next_batch())
    if before is not None:
      jax.device_get(before)
    before, done = metrics, done + 1
  jax.block_until_ready((state, before))
  return (time.monotonic() - began) / done


def _timed(work: Callable[[], object]) -> Took:
  """All of the work, the first time and again."""
  seconds: list[float] = []
  while len(seconds) < 2 or (len(seconds) <= _TIMES and seconds[-1] < _SECONDS):
    began = time.monotonic()
    work()
    seconds.append(time.monotonic() - began)
  each = statistics.median(seconds[1:])
  return Took(each, max(seconds[0] - each, 0.0), None)


def _texts(
  frozen: FrozenModel, tokens: dict[str, Any], what: What, count: int
) -> list[Slices]:
  """As many texts of the sample as some batches hold, or all there are.

  Of pairs and triples the query comes first.
  """
  names = {
    "passages": ["passages"],
    "queries": ["queries"],
    "pairs": ["queries", "passages"],
    "triples": ["queries", "passages", "passages"],
  }[what]
  mean = sum(float(tokens[name].lengths().mean()) + 1 for name in names)
  devices = len(frozen.copies.devices)
  wanted = round(_BATCHES * devices * frozen.batch_tokens / mean)
  number = np.arange(max(min(wanted, count), 1))
  # Each passage in turn with another query.
  return [
    tokens[name].slices((number + turn * len(number) // 3) % len(tokens[name]))
    for turn, name in enumerate(names)
  ]


class _Reading(NamedTuple):
  """How a model reads texts, as the stages have it.

  Attributes:
    joined: the texts, None of a model that has rows of its own for each.
    longest: tokens of one at most.
    width: of what comes out, None of a score.
    jit: (model, params, batch, *rest) to that.
    rest: what else it takes.
  """

  joined: Joined | None
  longest: int
  width: int | None
  jit: Any
  rest: tuple[str, ...] = ()


def _reading(
  frozen: FrozenModel, what: What, texts: Sequence[Slices]
) -> _Reading:
  data, special, model = frozen.data, frozen.special, frozen.model
  if what in ("passages", "queries"):
    longest = data.query_length if what == "queries" else data.passage_length
    joined = layout.single(texts[0], longest, special)
    tower = what.replace("ies", "y").removesuffix("s")
    return _Reading(joined, longest, model.width, encode.embed_texts, (tower,))
  longest, jit = layout.pair_length(data), rerank.score_pairs
  if isinstance(model, LateInteraction):
    return _Reading(None, longest, None, rerank.score_late_pairs)
  if what == "pairs":
    one, other = texts
    joined = layout.pair(one, other, data.query_length, longest, special)
    return _Reading(joined, longest, None, jit)
  longest = layout.triple_length(data)
  limits = data.query_length, data.passage_length
  query, one, other = texts
  joined = layout.triple(query, one, other, limits, special)
  return _Reading(joined, longest, None, jit)


def _read(
  frozen: FrozenModel,
  reading: _Reading,
  texts: Sequence[Slices],
  seen: list[Any],
) -> None:
  """A model reads texts, and leaves the batches that it was given."""
  if reading.joined is None:
    rerank.score_texts(frozen, texts[0], texts[1:])
    return

  def read(params: Any, batch: Any) -> jax.Array:
    seen.append(batch)
    return reading.jit(frozen.model, params, batch, *reading.rest)

  forward.over_texts(
    frozen, read, reading.joined, reading.longest, reading.width
  )


def _memory_of(
  frozen: FrozenModel, reading: _Reading, seen: Sequence[Any]
) -> int | None:
  """Of the program that reads a batch; it is in the compilation cache."""
  if not seen:
    return None
  batch = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), seen[0]
  )
  params = frozen.copies.params[0]
  lowered = reading.jit.lower(frozen.model, params, batch, *reading.rest)
  return _memory(lowered.compile())


def _memory(program: jax.stages.Compiled) -> int | None:
  """Bytes that a program takes on a device, its arguments among them."""
  found: Any = program.memory_analysis()
  if found is None:
    return None
  return int(
    found.argument_size_in_bytes
    + found.temp_size_in_bytes
    + found.output_size_in_bytes
    - found.alias_size_in_bytes
  )


def _drawn(model: Encoder) -> Any:
  """Parameters of a model, of no use but to be computed with."""
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda x: 0.02 * rng.standard_normal(x.shape, np.float32), shapes_of(model)
  )


def _hash(text: str) -> str:
  return hashlib.sha256(text.encode()).hexdigest()
