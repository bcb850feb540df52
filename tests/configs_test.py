"""The papers' experiments: their numbers, their variants, their `:runlocal`.

The tables below are read from the official codes and READMEs, and not from
the configs: an edit that leaves a paper fails here.
"""

import json
import pathlib
import re

import numpy as np
import pytest

from prod_jax import config_file, kinds, main, strict
from prod_jax.batches.lists import Candidates, load_lists
from prod_jax.processes import Processes
from prod_jax.sets import dataset, named
from prod_jax.sets.passages import Passages
from prod_jax.stages import files, splits
from prod_jax.stages.run import Run
from tests.main_test import REPO, run
from tests.sets import published

PROD = (
  "prod_msmarco_passage",
  "prod_trec_dl19",
  "prod_trec_dl20",
  "prod_msmarco_doc",
  "prod_nq",
)
OTHERS = (
  "lead_msmarco_passage",
  "cl_drd_msmarco_passage",
  "pairdistill_msmarco_passage",
  "adam_msmarco_passage",
)
VARIANTS = {name: ("", "student2", "student4", "online") for name in PROD}
VARIANTS |= {name: ("",) for name in OTHERS}
VARIANTS["pairdistill_msmarco_passage"] = ("", "colbert")
PAIRS = [
  (name, variant)
  for name, variants in VARIANTS.items()
  for variant in (*variants, "runlocal")
]


def load(name: str, variant: str = "", *overrides: str):
  """A config, as the command reads it."""
  path = REPO / "configs" / f"{name}.py"
  return config_file.load(f"{path}:{variant}", overrides)


def without_files(name: str, variant: str, folder: pathlib.Path, *more: str):
  """The same run with random weights, so that no folder is opened."""
  models = load(name, variant).models
  overrides = [f"models.{model}.weights=" for model in models]
  overrides += [f"models.{model}.layers=()" for model in models]
  overrides.append("data.tokenizer=packaged")
  return Run(load(name, variant, *overrides, *more), Processes(folder))


def check(run: Run) -> None:
  """As the command checks it, with a data set that has all splits."""
  main.check(run)
  queries = {split: [] for split in named.SPLITS}
  none = Passages(None, [], np.array([], bytes), "")
  splits.check(
    run.config, dataset.Dataset("a set", "", none, queries, row_of={})
  )


@pytest.mark.parametrize(("name", "variant"), PAIRS)
def test_every_stage_of_every_variant_fits(name, variant, tmp_path):
  """On 8 devices: roles, methods, settings, models and batch sizes."""
  run = without_files(name, variant, tmp_path)
  built = main.build(run)
  assert [stage.name for stage in built] == list(run.config.stages)
  check(run)


# Of PROD's README: model, start, lists; queries a step as GPUs, a GPU and
# accumulation; negatives, rate, warm-up, steps.
PROD_TABLE = {
  "student_warm": (
    ("student", "", "provided"),
    (8 * 16 * 1, 1),
    (1, 2e-5, 4000, 40_000),
  ),
  "teacher_warm": (
    ("teacher_de", "", "provided"),
    (8 * 16 * 1, 1),
    (1, 2e-5, 4000, 40_000),
  ),
  "student_base": (
    ("student", "student_warm", "mine_1"),
    (8 * 16 * 1, 1),
    (1, 2e-5, 1000, 10_000),
  ),
  "teacher_de": (
    ("teacher_de", "teacher_warm", "mine_1"),
    (8 * 16 * 1, 1),
    (1, 2e-5, 1000, 10_000),
  ),
  "student_de": (
    ("student", "student_base", "mine_1"),
    (8 * 16 * 1, 1),
    (1, 5e-5, 4000, 40_000),
  ),
  "ce_12": (
    ("ce_12", "", "mine_2"),
    (8 * 4 * 8, 8),
    (15, 1e-5, 1000, 6000),
  ),
  "student_ce_12": (
    ("student", "student_de", "mine_2"),
    (8 * 8 * 1, 1),
    (15, 5e-5, 4000, 40_000),
  ),
  "ce_24": (
    ("ce_24", "", "mine_3"),
    (8 * 4 * 8, 8),
    (15, 5e-6, 600, 6000),
  ),
  "student_ce_24": (
    ("student", "student_ce_12", "mine_3"),
    (8 * 8 * 1, 1),
    (15, 5e-5, 4000, 40_000),
  ),
  "student_final": (
    ("student", "student_ce_24", "mine_4"),
    (8 * 8 * 1, 1),
    (15, 1e-5, 200, 2000),
  ),
}


def row(stage: kinds.Train) -> tuple:
  """A stage as a row of the table."""
  return (
    (stage.model, stage.init, stage.candidates),
    (stage.batch_size, stage.accumulation),
    (stage.negatives, stage.learning_rate, stage.warmup_steps, stage.steps),
  )


def trained(stages) -> dict[str, kinds.Train]:
  return {k: s for k, s in stages.items() if isinstance(s, kinds.Train)}


@pytest.mark.parametrize("name", PROD)
def test_prod_trains_as_its_readme_does(name):
  found = {k: row(s) for k, s in trained(load(name).stages).items()}
  table = dict(PROD_TABLE)
  if name == "prod_nq":
    # The folders that dataset_division_nq.py names.
    for stage, steps in (("ce_24", 10_000), ("student_ce_24", 20_000)):
      *rest, last = table[stage]
      table[stage] = (*rest, (*last[:3], steps))
  assert found == table


def test_prod_distils_and_clips_as_its_code_does():
  stages = load("prod_msmarco_passage").stages
  weights = dict(temperature=4.0, hard=0.1, soft=0.9)
  taught = {k: s for k, s in trained(stages).items() if s.method == "prod"}
  # Clipped at 2, on 8 GPUs that gather.
  gathered = ("student_warm", "teacher_warm", "student_base", "teacher_de")
  for name, stage in trained(stages).items():
    clip = 16.0 if name in (*gathered, "student_de") else 2.0
    assert (stage.clip, stage.weight_decay) == (clip, 0.0), name
  assert taught.pop("student_de").settings == dict(in_batch=True, **weights)
  for stage in taught.values():
    assert stage.settings == dict(in_batch=False, lwf=1.0, **weights)
  sources = {k: (s.scores, s.anchor, s.sampling) for k, s in taught.items()}
  assert sources == {
    "student_ce_12": ("score_2", "start", "random"),
    "student_ce_24": ("score_3", "mine_3", "random"),
    "student_final": ("score_4", "mine_4", "descend"),
  }
  assert stages["student_de"].scores == "encode_teacher_de"
  assert stages["student_final"].queries == "divide"


def test_prod_mines_and_divides_as_its_code_does():
  stages = load("prod_msmarco_passage").stages
  mined = {
    k: (s.encoded, s.depth, s.negatives)
    for k, s in stages.items()
    if isinstance(s, kinds.Mine)
  }
  assert mined == {
    "mine_1": ("encode_teacher_warm", 200, 100),
    "mine_2": ("encode_teacher_de", 200, 100),
    "mine_3": ("encode_student_ce_12", 200, 100),
    "mine_4": ("encode_student_ce_24", 200, 0),
  }
  assert stages["provided"].negatives == 30
  scored = [s.params for s in stages.values() if isinstance(s, kinds.Score)]
  assert scored == ["ce_12", "ce_24", "ce_24"]
  rules = {}
  for name in ("prod_msmarco_passage", "prod_msmarco_doc", "prod_nq"):
    d = load(name).stages["divide"]
    rules[name] = (d.rule, d.student_from, d.student_to, d.teacher_to)
  # 2nd to 15th and 1st, as 0-based ranks; NQ: within 15 and better.
  assert rules["prod_msmarco_passage"] == ("marco", 1, 14, 0)
  assert rules["prod_msmarco_doc"] == ("marco", 1, 14, 0)
  assert rules["prod_nq"][0::3] == ("nq", 14)
  # A teacher is asked of what the rule may keep.
  asked = {
    (name, k): (s.positive_from, s.positive_to)
    for name in rules
    for k, s in load(name).stages.items()
    if isinstance(s, kinds.Mine) and s.positive_to
  }
  assert asked == {
    ("prod_msmarco_passage", "mine_4"): (1, 14),
    ("prod_msmarco_doc", "mine_4"): (1, 14),
  }
  for name in ("prod_msmarco_doc", "prod_nq"):
    assert load(name).stages["mine_4"].depth == 100


def test_prod_reads_and_measures_as_its_code_does():
  run_config = load("prod_msmarco_passage")
  data, stages = run_config.data, run_config.stages
  assert (run_config.seed, data.query_length, data.passage_length) == (
    42,
    32,
    144,
  )
  assert (data.name, data.titles, data.title_join) == (
    "msmarco_passage",
    "rocketqa",
    "[SEP]",
  )
  assert load("prod_msmarco_doc").data.max_characters == 10_000
  dev = stages["evaluate_student_final"]
  assert (dev.split, dev.depth, dev.relevant) == ("dev", 1000, 1)
  assert {"mrr@10", "hit@5", "hit@20", "hit@50", "hit@1000"} <= {*dev.metrics}
  for topics in ("dl19", "dl20"):
    stage = stages[f"evaluate_student_final_{topics}"]
    assert (stage.split, stage.depth, stage.relevant) == (topics, 1000, 2)
    assert stage.metrics == ("ndcg@10", "map@1000", "recall@1000")


def shape(model) -> tuple:
  return (model.depth, model.width, model.heads, model.mlp_width)


def test_prods_models_are_ernie_cut_from_the_front():
  models = load("prod_msmarco_passage").models
  shapes = {name: shape(model) for name, model in models.items()}
  assert shapes == {
    "student": (6, 768, 12, 3072),
    "teacher_de": (12, 768, 12, 3072),
    "ce_12": (12, 768, 12, 3072),
    "ce_24": (24, 1024, 16, 4096),
  }
  for model in models.values():
    assert (model.vocab_size, model.type_vocab) == (30_522, 4)
    assert model.max_positions == 512
    # [CLS], unless the folder says otherwise.
    assert model.pooling == ""
    assert (model.dropout, model.dtype) == (0.1, "bfloat16")
    size = "large" if model.depth == 24 else "base"
    assert model.weights == f"models/ernie-2.0-{size}-en"
  for name in ("student", "teacher_de"):
    # Dots, unless the folder says otherwise.
    assert (models[name].tied, models[name].similarity) == (False, "")
  for layers in (2, 4):
    cut = load("prod_msmarco_passage", f"student{layers}").models["student"]
    assert (cut.layers, cut.depth) == (tuple(range(layers)), layers)


def test_online_runs_the_teachers_in_the_step():
  cached, online = (
    load("prod_msmarco_passage", v).stages for v in ("", "online")
  )
  assert cached.keys() - online.keys() == {"score_2", "score_3"}
  teachers = {k: (s.teacher, s.scores) for k, s in trained(online).items()}
  assert teachers["student_ce_12"] == ("ce_12", "")
  assert teachers["student_ce_24"] == teachers["student_final"] == ("ce_24", "")
  for name, stage in trained(online).items():
    assert row(stage) == row(cached[name])


# Of LEAD's scripts: teacher, start, steps, rate, accumulation, clip on 8 GPUs.
LEAD_TABLE = {
  "lead_12de": ("de_12", "student_base", 50_000, 5e-5, 1, 16.0),
  "lead_12cb": ("cb_12", "student_base", 50_000, 2e-5, 1, 16.0),
  "lead_12ce": ("ce_12", "student_base", 100_000, 5e-5, 10, 2.0),
  "lead_24cb": ("cb_24", "de_12", 50_000, 2e-5, 1, 16.0),
}


def test_lead_trains_as_its_scripts_do():
  run_config = load("lead_msmarco_passage")
  stages = trained(run_config.stages)
  assert run_config.seed == 888
  found = {
    k: (s.teacher, s.init, s.steps, s.learning_rate, s.accumulation, s.clip)
    for k, s in stages.items()
    if s.method == "lead"
  }
  assert found == LEAD_TABLE
  for name in found:
    stage = stages[name]
    assert stage.joint and stage.warmup_steps * 10 == stage.steps
    assert stage.settings == dict(
      in_batch=name != "lead_12ce",
      layers=5,
      select="random",
      redraw=10,
      temperature=1.0,
      layer_temperature=10.0,
      student=1.0,
      teacher=1.0,
      response=1.0,
      layer=1.0,
      **({"projection": False} if name == "lead_24cb" else {}),
    )
  alone = {
    k: (s.steps, s.learning_rate, s.accumulation)
    for k, s in stages.items()
    if s.method != "lead"
  }
  assert alone == {
    "de_first": (20_000, 2e-5, 1),
    "student_base": (20_000, 2e-5, 1),
    "de_12": (20_000, 2e-5, 1),
    "cb_12": (20_000, 2e-5, 1),
    "ce_12": (20_000, 1e-5, 10),
    "cb_24": (20_000, 1e-5, 1),
  }
  assert run_config.stages["mine_1"].negatives == 100


# Of CL-DRD's scripts: group sizes, rate, epochs over 502,939 queries by 8.
CL_DRD_TABLE = {
  "cl_drd_1": ((5, 12, 13), 7e-6, 4),
  "cl_drd_2": ((10, 10, 10), 3e-6, 2),
  "cl_drd_3": ((30,), 3e-6, 2),
}


def test_cl_drd_trains_as_its_scripts_do():
  run_config = load("cl_drd_msmarco_passage")
  data = run_config.data
  assert (run_config.seed, data.titles) == (4680, "")
  assert (data.query_length, data.passage_length) == (30, 256)
  init = "tas_b"
  for name, (sizes, rate, epochs) in CL_DRD_TABLE.items():
    stage = run_config.stages[name]
    assert stage.sampling_settings["sizes"] == sizes
    assert stage.settings == dict(labels=(-0.25, -0.5))
    assert (stage.init, stage.learning_rate, stage.batch_size) == (
      init,
      rate,
      8,
    )
    assert abs(stage.steps * 8 / 502_939 - epochs) < 1e-4
    assert (stage.warmup_steps, stage.weight_decay, stage.clip) == (
      4000,
      0.01,
      1.0,
    )
    init = name
  assert run_config.stages["tas_b"].steps == 0
  assert run_config.models["student"].tied is False


def test_pair_distill_trains_as_its_code_does():
  dual = load("pairdistill_msmarco_passage")
  assert (dual.data.titles, dual.data.passage_length) == ("", 128)
  for number in (1, 2):
    stage = dual.stages[f"pair_distill_{number}"]
    assert (stage.learning_rate, stage.warmup_steps) == (3e-5, 10_000)
    assert (stage.negatives, stage.clip) == (63, 2.0)
    assert abs(stage.steps * stage.batch_size / 502_939 - 1) < 1e-3
    assert stage.settings == dict(
      temperature=1.0, teacher_scale=1.0, pairs=1.0, in_batch=0.0
    )
    asked = dual.stages[f"compare_{number}"]
    assert (asked.window, asked.pairs, asked.depth) == (5, 100, 100)
    assert not asked.both_orders
  late = load("pairdistill_msmarco_passage", "colbert")
  stage = late.stages["pair_distill"]
  assert (late.data.passage_length, late.data.query_length) == (180, 32)
  assert (stage.learning_rate, stage.warmup_steps) == (1e-5, 3000)
  assert (stage.steps, stage.batch_size, stage.accumulation) == (30_000, 32, 2)
  assert stage.negatives == 63
  assert stage.settings == dict(
    temperature=1.0, teacher_scale=1.0, pairs=3.0, in_batch=1.0
  )
  assert late.models["colbert"].projection == 128


@pytest.mark.parametrize(
  ("override", "message"),
  [
    ("stages.mine_4.negatives=5", "divide.candidates is 'mine_4'"),
    ("stages.student_warm.sampling=simans", "draws by the retriever's scores"),
    ("stages.student_de.anchor=provided", "it takes one of kind mine"),
    ("stages.mine_1.encoded=provided", "it takes one of kind encode"),
    (
      "stages.encode_teacher_de.splits=('train','dev','dl21')",
      "splits asks for 'dl21'",
    ),
  ],
)
def test_what_does_not_fit_the_papers_stages_is_refused(
  override, message, tmp_path
):
  run = without_files("prod_msmarco_passage", "", tmp_path, override)
  with pytest.raises(strict.ConfigError, match=re.escape(message)):
    check(run)


def test_missing_files_are_named(tmp_path):
  def check_files(*overrides: str, variant: str = "") -> None:
    config = load("prod_msmarco_passage", variant, *overrides)
    files.check(Run(config, Processes(tmp_path), may_fetch=False))

  message = (
    r"student\.weights is 'models/.*', and there is no such folder; it t"
  )
  with pytest.raises(strict.ConfigError, match=message):
    check_files()
  folder = tmp_path / "model"
  folder.mkdir()
  (folder / "config.json").write_text("{}")
  models = load("prod_msmarco_passage").models
  overrides = [f"models.{model}.weights={folder}" for model in models]
  with pytest.raises(strict.ConfigError, match=r"neither model\.safetensors"):
    check_files(*overrides)
  (folder / "model.safetensors").touch()
  with pytest.raises(strict.ConfigError, match=r"config\.data\.tokenizer is"):
    check_files(*overrides)
  (folder / "config.json").write_text("")
  with pytest.raises(strict.ConfigError, match=r"config\.json is no JSON"):
    check_files(*overrides, "data.tokenizer=packaged")
  check_files(variant="runlocal")


def test_the_command_looks_for_files_before_any_data(tmp_path):
  done = run(tmp_path, config="configs/prod_nq.py", code=2)
  assert "there is no such folder" in done.stderr
  assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def prod(tmp_path_factory):
  """PROD's stages on docstrings, each config in the workdir of the first."""
  workdir = tmp_path_factory.mktemp("prod") / "work"
  return workdir, local(workdir, "prod_msmarco_passage")


def local(workdir: pathlib.Path, name: str) -> str:
  """Runs a config's `:runlocal`; what it logged."""
  done = run(workdir, config=f"configs/{name}.py:runlocal", fast=True)
  record = json.loads((workdir / "curriculum.json").read_text())
  assert {s["status"] for s in record["stages"]} <= {"done", "cached"}
  for stage in record["stages"]:
    log = workdir / stage["dir"] / "metrics.jsonl"
    if stage["kind"] == "train" and log.exists():
      lines = [json.loads(line) for line in log.read_text().splitlines()]
      assert all(np.isfinite(list(line.values())).all() for line in lines)
      assert [line["step"] for line in lines] == [1, 2][: len(lines)]
  return done.stderr


def folder(workdir: pathlib.Path, stage: str) -> pathlib.Path:
  return next(p for p in workdir.iterdir() if p.name[3:] == stage)


def started(log: str) -> list[str]:
  return re.findall(r" (\w+): starts \(", log)


@pytest.mark.long
def test_prod_runs_from_start_to_end(prod):
  workdir, log = prod
  stages = load("prod_msmarco_passage", "runlocal").stages
  assert started(log) == list(stages)
  wanted = load("prod_msmarco_passage").stages
  assert wanted.keys() - stages.keys() == {"provided"}
  rows = json.loads((workdir / "results.json").read_text())
  assert {r["model_stage"] for r in rows} >= trained(stages).keys()
  lists = load_lists(Candidates, folder(workdir, "mine_1") / "candidates")
  whole = load_lists(Candidates, folder(workdir, "mine_4") / "candidates")
  assert (~lists.label & (lists.ids >= 0)).sum(axis=1).tolist() == [3] * 64
  assert lists.rank.max() > 3 and whole.rank.max() == 31


def test_the_warm_up_draws_from_negatives_as_they_were_published(tmp_path):
  """The paper's config itself, made small, on files in Microsoft's form."""
  (tmp_path / "set").mkdir()
  published.msmarco_passage(tmp_path / "set")
  # Topics of 2020, which that set leaves out.
  (tmp_path / "set" / "msmarco-test2020-queries.tsv").write_text("50\ttea\n")
  (tmp_path / "set" / "2020qrels-pass.txt").write_text("50 0 3 2\n")
  tiny = load("prod_msmarco_passage", "runlocal")
  overrides = {
    "data.path": tmp_path / "set",
    "data.tokenizer": "packaged",
    "data.query_length": tiny.data.query_length,
    "data.passage_length": tiny.data.passage_length,
    "stages.student_warm.steps": 2,
    "stages.student_warm.warmup_steps": 1,
    "stages.student_warm.batch_size": 8,
  }
  for name, model in tiny.models.items():
    for field in ("weights", "width", "depth", "heads", "mlp_width", "layers"):
      overrides[f"models.{name}.{field}"] = getattr(model, field)
    overrides |= {f"models.{name}.dtype": "float32"}
  run(
    tmp_path / "work",
    *(f"--config.{key}={value}" for key, value in overrides.items()),
    f"--config.data.data_dir={tmp_path / 'data'}",
    "--stages=provided,student_warm",
    config="configs/prod_msmarco_passage.py",
    fast=True,
  )
  made = folder(tmp_path / "work", "provided") / "candidates"
  lists = load_lists(Candidates, made)
  # One triple of the first query names its positive as a negative.
  assert [set(ids[ids >= 0]) for ids in lists.ids] == [{2, 3}, {0, 4, 2, 1}]
  assert [
    ids[label].tolist() for ids, label in zip(*lists[1:3], strict=True)
  ] == [[3], [1]]
  log = folder(tmp_path / "work", "student_warm") / "metrics.jsonl"
  losses = [json.loads(x)["loss"] for x in log.read_text().splitlines()]
  assert losses and np.isfinite(losses).all()


@pytest.mark.long
@pytest.mark.parametrize("topics", ["dl19", "dl20"])
def test_trec_topics_are_measured_in_prods_workdir(prod, topics):
  """Nothing of PROD's own is run again."""
  workdir, _ = prod
  log = local(workdir, f"prod_trec_{topics}")
  ours = load("prod_msmarco_passage", "runlocal").stages
  assert all(f"{name}: cached, nothing to do" in log for name in ours)
  models = [s.params for s in ours.values() if isinstance(s, kinds.Encode)]
  ran = [f"evaluate_{m}_{topics}" for m in models if m != "student_final"]
  assert started(log) == ran
  rows = json.loads((workdir / "results.json").read_text())
  measured = {r["model_stage"] for r in rows if r["stage"].endswith(topics)}
  assert measured == set(models)


@pytest.mark.long
@pytest.mark.parametrize("name", ["prod_msmarco_doc", "prod_nq"])
def test_prod_runs_on_the_other_collections(prod, name):
  workdir, _ = prod
  local(workdir, name)
  rows = json.loads((workdir / "results.json").read_text())
  final = {r["metric"] for r in rows if r["model_stage"] == "student_final"}
  assert final >= set(load(name).stages["evaluate_student_final"].metrics)


@pytest.mark.long
@pytest.mark.parametrize("name", OTHERS)
def test_the_other_papers_run_from_start_to_end(tmp_path, name):
  log = local(tmp_path / "work", name)
  stages = load(name, "runlocal").stages
  assert started(log) == list(stages)
  rows = json.loads((tmp_path / "work" / "results.json").read_text())
  measured = {r["model_stage"] for r in rows}
  students = {
    k for k, s in trained(stages).items() if s.model in ("student", "de_12")
  }
  assert measured >= students
