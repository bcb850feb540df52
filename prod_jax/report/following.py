"""What may be done with a run that is done, as commands to copy."""

import shlex
from collections.abc import Iterator

from prod_jax.report import record
from prod_jax.report.markup import Tag, tag


def section(run: record.Run) -> Iterator[Tag]:
  """The commands, each selected as a whole by a click; nothing for no model."""
  found = list(commands(run))
  if not found:
    return
  yield tag("h2", "What to do next")
  yield tag(
    "p",
    "A click selects a command, and words in capitals are yours.",
    class_="quiet",
  )
  for what, command in found:
    yield tag("p", what)
    yield tag("pre", tag("code", command), class_="command")


def commands(run: record.Run) -> Iterator[tuple[str, str]]:
  """What each is for, and the command, for the student that goes on."""
  stage = last_student(run)
  if not stage:
    return
  workdir = shlex.quote(str(run.workdir.resolve()))
  of = f"--workdir={workdir} --stage={stage}"
  yield "Ask the student questions:", f"prod_jax search {workdir}"
  yield (
    "Write it as a folder for sentence-transformers and transformers:",
    f"prod_jax export {of} --to=FOLDER",
  )
  yield (
    "Embed texts of your own, lines of id TAB text:",
    f"prod_jax embed {of} TEXTS.tsv -o VECTORS.npy",
  )
  yield (
    "See which stage won or lost each query:",
    f"prod_jax evaluate {workdir} --per_query=QUERIES.tsv",
  )
  yield (
    "Hold it against BM25 on another set:",
    f"prod_jax evaluate bm25 {workdir}:{stage} --compare "
    "--config.data.path=FOLDER",
  )
  yield "Compare with another run:", f"prod_jax report {workdir} OTHER"
  if (run.workdir / "trackers" / "tensorboard").is_dir():
    yield (
      "Look at its curves in TensorBoard:",
      f"tensorboard --logdir={workdir}/trackers/tensorboard",
    )


def last_student(run: record.Run) -> str:
  """The stage to take the student from: the last choice, or train stage."""
  accepts = [
    stage.name
    for stage in run.stages.values()
    if stage.kind == "accept" and stage.ran and run.trainer(stage.name)
  ]
  trained = [stage.name for stage in run.trained(record.STUDENT) if stage.ran]
  return (accepts or trained or [""])[-1]
