"""Stages as programs: batches as a run has them, checks as a run makes them."""

import dataclasses
import pathlib

import jax
import pytest

from prod_jax import config_file, kinds, strict
from prod_jax.plan import batches, programs, shapes
from prod_jax.processes import Processes
from prod_jax.sets.sizes import Size
from prod_jax.stages import job_of
from prod_jax.stages.run import Run

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
SIZE = Size(1000, {"train": 50, "test": 8})


def run_of(name, *overrides):
  """A config's tiny variant, on 8 devices, for which no tokenizer is read."""
  path = f"{CONFIGS / name}.py:runlocal"
  models = config_file.load(path).models
  # The mask's id is the tokenizer's.
  stated = [f"models.{m}.vocab_size=50" for m in models]
  late = [name for name, model in models.items() if model.kind == "late"]
  stated += [f"models.{m}.mask_queries=False" for m in late]
  planned = config_file.load(
    path, [*stated, "data.tokenizer=nowhere", *overrides]
  )
  return Run(
    shapes.known(planned), Processes(pathlib.Path()), devices=jax.devices()
  )


def made(run, *names, **kwargs):
  return {p.stage: p for p in programs.programs(run, SIZE, names, **kwargs)}


@pytest.mark.parametrize(
  ("name", "stage", "carried"),
  [
    ("adam", "adam", {"passage", "dark", "list_scores_BN", "dark_scores_BA"}),
    ("pair_distill", "duo", {"triple", "where_BJ"}),
    ("pair_distill", "pair_distill", {"passage", "first_BJ", "prefer_BJ"}),
    ("lead", "lead_ce", {"passage", "pair"}),
    ("quickstart", "student_de", {"passage", "teacher_passage_BND"}),
    ("quickstart", "student_ce_1", {"passage", "list_scores_BN", "anchor_BN"}),
  ],
)
def test_a_step_takes_the_batch_that_its_sources_make(name, stage, carried):
  """Tracing finds a field that a method reads and the batch has not."""
  run = run_of(name)
  batch = batches.training(job_of(run, stage))
  there = {k for k, v in batch._asdict().items() if v is not None}
  assert carried <= there
  lowered = made(run, stage)[stage].lower(8)
  # All leading axes are the batch's.
  assert "tensor<8x" in lowered.as_text()
  assert f"tensor<{batches.QUERIES}x12x" not in lowered.as_text()


def test_examples_are_steps_passages_and_pairs():
  found = made(run_of("pair_distill"))
  counts = {name: p.examples for name, p in found.items()}
  stages = run_of("pair_distill").config.stages
  assert counts["student_warm"] == 3 * 8  # steps, batch
  assert counts["encode_student_warm"] == 1000
  depth = stages[stages["score_lists"].candidates].depth
  assert counts["score_lists"] == 50 * (depth + 1)
  asked = stages["compare"]
  assert counts["compare"] == 50 * asked.pairs * (1 + asked.both_orders)
  assert counts["evaluate_ce"] == 8 * stages["evaluate_ce"].rerank_depth
  assert programs.programs(run_of("lead"), Size(0, {}))[1].examples is None


def test_a_gate_reads_as_many_pairs_as_its_teacher_orders():
  run = run_of("quickstart")
  size = Size(1000, {"dev": 5})
  (program,) = programs.programs(run, size, ["gate_de", "gate_ce_1"])
  assert (program.stage, program.kind) == ("gate_ce_1", "gate")
  assert (program.model, program.unit) == ("ce", "pairs")
  assert program.examples == 5 * run.stage("gate_ce_1").depth
  run.config.stages["gate_ce_1"] = dataclasses.replace(
    run.stage("gate_ce_1"), teacher="ce"
  )
  (program,) = programs.programs(run, size, ["gate_ce_1"])
  assert program.model == "ce"  # as it is


def test_denoised_lists_are_as_long_as_those_that_were_mined():
  run = run_of("quickstart", "stages.mine_2.limit=20")
  denoise = kinds.Denoise("denoise", candidates="mine_2", scores="score_1")
  again = dataclasses.replace(run.stage("score_1"), candidates="denoise")
  found = {}
  for name, stage in run.config.stages.items():
    found |= {name: stage}
    if name == "score_1":
      found |= {"denoise": denoise, "again": again}
  config = dataclasses.replace(run.config, stages=found)
  counts = made(dataclasses.replace(run, config=config), "score_1", "again")
  assert counts["again"].examples == counts["score_1"].examples
  assert counts["again"].examples == 20 * (run.stage("mine_2").depth + 1)


def test_a_batch_that_does_not_divide_is_no_error_here():
  override = "stages.student_warm.batch_size=12"
  program = made(run_of("quickstart", override), "student_warm")
  assert not program["student_warm"].divides


def test_batches_in_proportion_to_the_slice():
  run = run_of("quickstart")
  found = made(run, "student_warm", "encode_student_warm", scale=4.0)
  assert found["student_warm"].batch == 4 * 8
  # As many queries in all.
  assert found["student_warm"].examples == 3 * 8
  # What divides only then is no error.
  small = run_of("quickstart", "stages.student_warm.batch_size=2")
  assert made(small, "student_warm", scale=4.0)["student_warm"].divides
  # One process embeds by itself, however many there are.
  plain = made(run, "encode_student_warm")
  assert (
    found["encode_student_warm"].batch == plain["encode_student_warm"].batch
  )


def test_what_a_run_would_refuse_is_refused():
  with pytest.raises(strict.ConfigError, match=r"did you mean --stage\.ce_1"):
    made(run_of("quickstart"), "ce1")
  with pytest.raises(strict.ConfigError, match=r"mine_4,divide runs no model"):
    made(run_of("quickstart"), "mine_4", "divide")
  run = run_of("quickstart", "stages.student_de.settings.soft=x")
  with pytest.raises(strict.ConfigError, match=r"student_de.settings.soft"):
    made(run)
  run = run_of("quickstart", "stages.encode_student_ce_1.params=ce_1")
  with pytest.raises(strict.ConfigError, match=r"model of kind cross"):
    made(run, "encode_student_ce_1")
  run = run_of("quickstart", "stages.score_1.params=cee")
  with pytest.raises(strict.ConfigError, match=r"score_1.params is 'cee'"):
    made(run, "score_1")


def test_without_a_tokenizer_the_key_that_needs_it_is_named():
  run = run_of("lead", "models.late.vocab_size=0")
  with pytest.raises(strict.ConfigError, match=r"late.vocab_size=0 .*nowhere"):
    shapes.check_vocabulary(run)
  run = run_of("lead", "models.late.mask_queries=True")
  with pytest.raises(strict.ConfigError, match=r"mask_queries=True .*nowhere"):
    shapes.check_vocabulary(run)
  shapes.check_vocabulary(run_of("lead"))


def test_rows_are_as_many_as_texts_of_the_mean_length_fill():
  """Half as long texts are about half the work; alone in rows they are not."""
  half = Size(1000, {"train": 50}, query_tokens=6, passage_tokens=12)

  def work(run, size):
    (program,) = programs.programs(run, size, ["encode_student_de"])
    return program.flops(program.batch) / program.batch

  run = run_of("quickstart")
  ratio = work(run, half) / work(run, SIZE)
  assert 0.45 < ratio < 0.5 / 0.95  # some texts were cut, and some is padding
  padded = run_of("quickstart", "data.packed=False")
  assert work(padded, half) == work(padded, SIZE) == work(run, SIZE)
