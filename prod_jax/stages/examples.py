"""What a train stage learns from: texts, rows, draws, and what is cached.

Turns a stage's config into the loader's examples, and tells its method what
there is. What each of its roles brings is sources.py.
"""

import dataclasses
from typing import Any

import numpy as np
from absl import logging

from prod_jax import arrays, kinds, sharding, strict
from prod_jax.batches import draws
from prod_jax.batches.assemble import Examples, Reader
from prod_jax.batches.lists import Candidates
from prod_jax.batches.packing import Grouping
from prod_jax.batches.tokens import TokenisedDataset
from prod_jax.methods.scoring import Sources
from prod_jax.models import Encoder
from prod_jax.stages import sources, widths
from prod_jax.stages.run import Job

TrainJob = Job[kinds.Train]

# Of scores of lists.
OF_LISTS = kinds.Score | kinds.Imported | kinds.Denoise | kinds.Filter


def check(job: TrainJob) -> None:
  """Raises ConfigError for sources that do not go together.

  What is stored by list must be of the lists that are trained on.
  """
  where, stage, stages = job.where, job.stage, job.run.config.stages
  if stage.teacher and stage.scores:
    raise strict.ConfigError(
      f"{where}: teacher runs in the step and scores are cached; set only one"
    )
  if stage.joint and not stage.teacher:
    raise strict.ConfigError(f"{where}.joint needs a teacher in the step")
  scored = isinstance(stages.get(stage.scores), OF_LISTS)
  if stage.second and scored:
    raise strict.ConfigError(
      f"{where}.second goes with a dual-encoder teacher; set scores to an "
      "encode stage, or teacher"
    )
  if stage.sampling != "random" and not stage.candidates:
    raise strict.ConfigError(
      f"{where}.sampling={stage.sampling!r} draws from lists; set candidates"
    )
  if stage.sampling == "simans" and isinstance(
    made(job, stage.candidates), kinds.Provided
  ):
    raise strict.ConfigError(
      f"{where}.sampling='simans' draws by the retriever's scores, and lists "
      "that came with the data set have none; set candidates to a mine stage"
    )
  for role in sources.of_lists(job):
    job.check_scored(role)
  if stage.teacher:
    job.check_trains("teacher", ("dual", "late", "cross"))
  _check_split(job)
  if isinstance(stages.get(stage.scores), kinds.Encode):
    job.check_encoded("train", "scores")
  if stage.dark:
    _check_dark(job)
  if sampling_of(job).NEEDS_SCORES and not scored:
    raise strict.ConfigError(
      f"{where}.sampling={stage.sampling!r} draws by a teacher's ranking; set "
      "scores to a score stage"
    )


def _check_split(job: TrainJob) -> None:
  """Raises ConfigError for rows that are of other queries than train's."""
  stage = job.stage
  lists = {"candidates": stage.candidates}
  if stage.queries:
    lists["queries"] = job.source("queries").candidates
  for role, name in lists.items():
    split = job.run.stage(name).split if name else "train"
    if split != "train":
      raise strict.ConfigError(
        f"{job.where}.{role}: {name} has lists for {split!r}, and a train "
        "stage learns from queries of 'train'"
      )


def made(job: Job[Any], name: str) -> kinds.Stage | None:
  """The stage that made some lists, where others have judged them."""
  found = job.run.config.stages.get(name)
  judged = kinds.Imported | kinds.Denoise | kinds.Filter
  if isinstance(found, judged) and found.candidates:
    return made(job, found.candidates)
  return found


def check_labels(job: TrainJob, learns_unlabelled: bool) -> None:
  """Raises ConfigError where labels are needed, and no list has any."""
  stage = job.stage
  if not stage.candidates or sources.queries_of(job) != "unlabelled":
    return
  if not learns_unlabelled or sampling_of(job).NEEDS_LABELS:
    raise strict.ConfigError(
      f"{job.where}.candidates: {stage.candidates} has lists of queries "
      f"without labels, and method {stage.method} with sampling "
      f"{stage.sampling!r} learns from labels, as it is set; set queries='all' "
      "or 'labelled' where these lists are made"
    )


def mined_with(job: TrainJob, name: str) -> str | None:
  """Whose parameters retrieved some lists; None where no mine stage made them.

  They are a train stage's, those of a model as it is, or what an accept stage
  chose.
  """
  found = made(job, name)
  if not isinstance(found, kinds.Mine):
    return None
  encoded = job.run.stage(found.encoded)
  return encoded.params if isinstance(encoded, kinds.Encode) else found.encoded


def begins_with(job: TrainJob) -> str:
  """Whose parameters a stage begins with, "" where they are drawn."""
  name, run = job.stage.model, job.run
  as_it_is = name not in run.config.stages and run.settled(name).encoder
  return job.stage.init or (name if as_it_is else "")


def offered(job: TrainJob) -> Sources:
  """What the stage offers its method."""
  stage, sampling = job.stage, sampling_of(job)
  groups = sampling.sizes if isinstance(sampling, draws.RankingGroups) else ()
  columns = sum(groups) or 1 + stage.negatives
  if not stage.steps:
    columns = 0  # no loss is taken, of however many
  offered = Sources(
    joint=stage.joint,
    beside=sources.beside_teacher(stage),
    ranking_groups=len(groups),
    draws=sampling.NEEDS_SCORES,
    own_list=columns,
    whole_batch=columns * stage.batch_size // stage.accumulation,
  )
  if stage.teacher:
    model = _in_chunks(job.model_of("teacher"), stage)
    return offered._replace(teacher="step", model=model)
  if stage.scores:
    if isinstance(job.source("scores"), OF_LISTS):
      return offered._replace(teacher="scores")
    width = widths.encoder_of(job, "scores").width
    return offered._replace(teacher="embeddings", width=width)
  return offered


def sampling_of(job: TrainJob) -> draws.Sampling:
  """How the columns of a list are drawn.

  Raises:
    ConfigError: for settings that this way of drawing has not, or lacks.
  """
  stage = job.stage
  return draws.make_sampling(
    stage.sampling, stage.sampling_settings, f"{job.where}.sampling_settings"
  )


def examples(job: TrainJob, learns_unlabelled: bool) -> Examples:
  """All that batches are made of; large tables stay on disk.

  Queries without labels are left out unless the method learns from them.
  """
  run, cached = job.run, sources.loaded(job)
  positives = run.dataset.positive_rows("train")
  rows = np.array([i for i, p in enumerate(positives) if p], np.int32)
  # Only a query with a list can draw from one; a divide stage keeps some.
  if job.stage.candidates:
    rows = np.array(cached["candidates"].query)
  if job.stage.queries:
    path = job.inputs["queries"] / "queries.npy"
    rows = arrays.read(path)
  if job.stage.candidates:
    lists = cached["candidates"]
    positives = _with_those_of_lists(positives, lists)
    rows = _kept(job, rows, np.isin(rows, lists.query), "have a list")
  needs = not learns_unlabelled or sampling_of(job).NEEDS_LABELS
  if needs or not job.stage.candidates:
    has_label = np.array([bool(positives[row]) for row in rows], bool)
    rows = _kept(job, rows, has_label, "have a label")
  if job.stage.candidates and job.stage.sampling != "groups":
    _say_repeated(job, rows, cached["candidates"])
  of_model, of_teacher = carried(job)
  teacher = None
  if of_teacher is not None:
    teacher = Reader(**_texts(job.tokens_of("teacher")), **of_teacher)
  return Examples(
    **_texts(run.tokens_of(job.stage.model)),
    positives=positives,
    rows=rows,
    data=run.config.data,
    negatives=job.stage.negatives,
    sampling=sampling_of(job),
    copies=_copies(job, rows),
    cluster_Q=_clusters(job, rows),
    teacher=teacher,
    **of_model,
    **cached,
  )


def _kept(
  job: TrainJob, rows: np.ndarray, where: np.ndarray, what: str
) -> np.ndarray:
  """Some of the rows, and a line about the others."""
  if not where.all():
    if not where.any():
      raise strict.ConfigError(
        f"{job.where}: of {len(rows)} queries there are none that {what}, so "
        "that nothing is left to learn from; look at candidates and queries"
      )
    logging.info(
      "%s: of %d queries it can learn from the %d that %s",
      job.name,
      len(rows),
      where.sum(),
      what,
    )
  return rows[where]


def _say_repeated(job: TrainJob, rows: np.ndarray, lists: Candidates) -> None:
  """Warns where lists are shorter than what is drawn from them."""
  if not job.run.processes.first:
    return
  short, at_once = 0, 8192
  for start in range(0, len(lists.query), at_once):
    block = Candidates(*(field[start : start + at_once] for field in lists))
    negatives_Q = ((block.ids >= 0) & ~block.label).sum(axis=1)
    wanted_Q = job.stage.negatives + ~block.label.any(axis=1)
    short += (np.isin(block.query, rows) & (negatives_Q < wanted_Q)).sum()
  if short:
    logging.warning(
      "%s: the lists of %d of %d queries are too short for negatives=%d, one "
      "more without a label: some are in a batch twice; set fewer, or make "
      "longer lists",
      job.name,
      short,
      len(rows),
      job.stage.negatives,
    )


def _with_those_of_lists(
  positives: list[tuple[int, ...]], lists: Candidates
) -> list[tuple[int, ...]]:
  """The positives, with those that only a list of the query knows of."""
  out = list(positives)
  for number, row in enumerate(lists.query):
    if not out[row]:
      out[row] = tuple(lists.ids[number][lists.label[number]].tolist())
  return out


def _texts(tokens: TokenisedDataset) -> dict[str, Any]:
  """What `Reader` has of them."""
  return {
    "queries": tokens.queries["train"],
    "passages": tokens.passages,
    "special": tokens.special,
  }


def model(job: TrainJob) -> Encoder:
  """The encoder that the stage trains, as it trains it."""
  return _in_chunks(job.run.model(job.stage.model), job.stage)


def _in_chunks(model: Encoder, stage: kinds.Train) -> Encoder:
  transformer = dataclasses.replace(model.transformer, chunks=stage.chunks)
  return dataclasses.replace(model, transformer=transformer)


def grouping(job: TrainJob) -> Grouping:
  """How a batch is divided, over devices and then on each of them."""
  devices = sharding.batch_devices(job.run.mesh)
  return Grouping(devices, job.stage.accumulation * job.stage.chunks)


def packs(job: TrainJob) -> bool:
  """Whether texts share rows: late interaction compares padded ones."""
  return job.run.config.data.packed and "late" not in _model_kinds(job)


def _model_kinds(job: TrainJob) -> set[str]:
  """Of the models that read the batch."""
  names = [job.stage.model]
  if job.stage.teacher:
    names.append(job.model_name("teacher"))
  return {job.run.config.models[name].kind for name in names}


def carried(
  job: TrainJob,
) -> tuple[dict[str, Any], dict[str, Any] | None]:
  """Which texts a batch carries, by their field.

  Returns:
    Those of the model that is trained, and those of a teacher in the step; None
    where there is none, or where it reads the first ones too.
  """
  stage, models = job.stage, job.run.config.models
  teacher = job.model_name("teacher") if stage.teacher else stage.model
  if job.run.reads_alike(stage.model, teacher):
    return _read_by(_model_kinds(job)), None
  of_teacher = _read_by({models[teacher].kind})
  # A batch has the student's queries in any case.
  of_teacher["query"] = of_teacher["passage"]
  return _read_by({models[stage.model].kind}), of_teacher


def _read_by(model_kinds: set[str]) -> dict[str, Any]:
  """Texts that models of these kinds read."""
  return {
    "passage": bool(model_kinds & {"dual", "late"}),
    "pair": "cross" in model_kinds,
    "triple": "pairwise" in model_kinds,
  }


def _check_dark(job: TrainJob) -> None:
  """Raises ConfigError where dark examples are of other tokens."""
  made_by = job.run.model_name(job.source("dark").params)
  if not job.run.reads_alike(job.stage.model, made_by, ("passage",)):
    raise strict.ConfigError(
      f"{job.where}.dark: {job.stage.dark} makes token ids of model {made_by}, "
      f"and {job.stage.model} has another tokenizer, or another prompt for "
      "passages; set dark to a stage whose model reads as it does"
    )
  if job.stage.scores:
    _check_judges(job)


def _check_judges(job: TrainJob) -> None:
  """Raises ConfigError where lists and dark examples have two judges."""
  of_lists, of_dark = (
    sources.judge(job.run, name) for name in (job.stage.scores, job.stage.dark)
  )
  # A file may have that model's, by another program.
  of_file = isinstance(job.run.config.stages.get(of_lists), kinds.Imported)
  if of_lists != of_dark and not of_file:
    raise strict.ConfigError(
      f"{job.where}.dark: {of_dark} scores the dark examples of "
      f"{job.stage.dark}, and {of_lists} the lists of {job.stage.scores}; both "
      "stand in one distribution, so let one model score both"
    )


def _copies(job: TrainJob, rows: np.ndarray) -> list[tuple[int, ...]]:
  """By query, what is no negative though nobody labelled it; empty for none."""
  run = job.run
  copies = run.processes.first_then_others(
    lambda: run.dataset.no_negatives("train")
  )
  found = [len(copies[row]) for row in rows.tolist() if copies[row]]
  if not found:
    return []
  logging.info(
    "%s: %d passages are no negatives of %d queries, drawn or in-batch: they "
    "say what a labelled one says, or are the query's own document",
    job.name,
    sum(found),
    len(found),
  )
  return copies


def _clusters(job: TrainJob, rows: np.ndarray) -> np.ndarray | None:
  """The cluster of each training row, int32, where batches go by cluster."""
  if not job.stage.clusters:
    return None
  # Stored by query row: `rows` may be some of them.
  path = job.inputs["clusters"] / "clusters.npy"
  return arrays.read(path)[rows]
