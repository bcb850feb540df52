"""Models of one run that read texts in tokens of their own."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tokenizers import processors

from prod_jax import config_file, main, stages, strict
from prod_jax.batch import Packed
from prod_jax.batches import loader
from prod_jax.methods import prod, scoring
from prod_jax.methods.scoring import Sources
from prod_jax.models import hf
from prod_jax.models.build import shapes_of
from prod_jax.plan import batches, training
from prod_jax.processes import Processes
from prod_jax.sets.sizes import Size
from prod_jax.stages import examples, sources, train
from prod_jax.stages.run import Job, Run
from tests import commands
from tests.batches.special_test import bert, mpnet, save
from tests.methods.batches import rng

REPO = pathlib.Path(__file__).parents[2]
CONFIG = """
import ml_collections

SHAPE = dict(width=8, depth=1, heads=2, mlp_width=16, dropout=0.0)
PROD = dict(in_batch=False, temperature=1.0, hard=0.5, soft=0.5)
TRAIN = dict(
  kind="train", steps=1, batch_size=8, negatives=2, learning_rate=1e-3,
)

def get_config(variant=""):
  return ml_collections.ConfigDict(dict(
    seed=0,
    data=dict(
      name="folder", path="set", tokenizer="mpnet", title_join="[SEP]",
      query_length=8, passage_length=12, packed=False,
    ),
    mesh=dict(),
    models=dict(
      student=dict(kind="dual", tokenizer="bert", **SHAPE),
      twin=dict(kind="dual", tokenizer="copy", **SHAPE),
      other=dict(kind="dual", **SHAPE),
      ce=dict(kind="cross", **SHAPE),
    ),
    stages=ml_collections.ConfigDict(dict(
      ce=dict(model="ce", method="ranking", **TRAIN),
      other=dict(model="other", method="contrastive", **TRAIN),
      student=dict(
        model="student", method="prod", settings=PROD, teacher="ce", **TRAIN
      ),
      same=dict(
        model="other", method="prod", settings=PROD, teacher="ce", **TRAIN
      ),
      two_duals=dict(
        model="student", method="prod", teacher="other",
        settings=dict(PROD, in_batch=True), **TRAIN
      ),
      encode=dict(kind="encode", params="student", splits=("train", "test")),
      evaluate=dict(kind="evaluate", encoded="encode", rerank="ce"),
    ), sort_keys=False),
  ))
"""
WORDS = ["tea", "boats", "are", "old", "new", "the", "of", "and", "sea"]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> pathlib.Path:
  """A set and two tokenizers, one of them twice; paths are relative to it."""
  monkeypatch.chdir(tmp_path)
  drawn = np.random.default_rng(0)
  texts = [" ".join(drawn.choice(WORDS, 9)) for _ in range(12)]
  (tmp_path / "set").mkdir()
  lines = {
    "collection.tsv": [f"p{i}\ttea {i % 2}\t{t}" for i, t in enumerate(texts)]
  }
  for split in ("train", "test"):
    lines[f"queries.{split}.tsv"] = [f"{i}\t{texts[i][:15]}" for i in range(12)]
    lines[f"qrels.{split}.tsv"] = [f"{i}\t0\tp{i}\t1" for i in range(12)]
  for name, rows in lines.items():
    (tmp_path / "set" / name).write_text("\n".join(rows) + "\n")
  for name in ("bert", "copy"):
    save(tmp_path / name, bert())
  save(tmp_path / "mpnet", mpnet())
  (tmp_path / "config.py").write_text(CONFIG)
  return tmp_path


@pytest.fixture
def run_of(folder):
  """The run, with overrides of its config."""

  def make(*overrides: str) -> Run:
    config = config_file.load(str(folder / "config.py"), overrides)
    return Run(config, Processes(folder / "work"))

  return make


def stores(folder) -> list[str]:
  made = (folder / "work" / "tokens").iterdir()
  return sorted(path.name.rpartition("-")[0] for path in made)


def test_models_that_agree_share_one_store(run_of, folder):
  run = run_of()
  student = run.tokens_of("student")
  assert stores(folder) == ["passages", "queries-test", "queries-train"]
  assert run.tokens_of("twin") is student
  assert run_of().tokens_of("twin").passages[0].tolist() == (
    student.passages[0].tolist()
  )
  assert len(stores(folder)) == 3
  other = run.tokens_of("other")
  assert run.tokens_of("ce") is other and len(stores(folder)) == 6
  assert student.special.prefix == (2,) and other.special.prefix == (0,)
  # "tea", what stands between two texts, and the text.
  assert student.passages[0][:3].tolist() == [5, 1, 3]
  assert other.passages[0][:4].tolist() == [5, 3, 2, 2]


def test_a_prompt_stands_in_front_of_title_and_text(run_of, folder):
  plain = run_of().tokens_of("student")
  run = run_of("models.student.prompts={'query': 'sea', 'passage': 'old of '}")
  prompted = run.tokens_of("student")
  sea, old, of = 13, 8, 11
  first = prompted.passages[0]
  assert first[:2].tolist() == [old, of]
  assert first[2:].tolist() == plain.passages[0][: len(first) - 2].tolist()
  wanted = run.tokenizer_of("student").encode(
    ["sea" + run.dataset.queries["train"][0].text]
  )
  assert prompted.queries["train"][0].tolist() == wanted[0].tolist()
  only_query = run_of("models.student.prompts={'query': 'sea '}")
  found = only_query.tokens_of("student")
  assert found.queries["train"][0][0] == sea
  assert found.passages[0].tolist() == plain.passages[0].tolist()
  # Passages without a prompt are the store of before.
  assert stores(folder).count("passages") == 2
  assert not only_query.reads_alike("student", "twin")
  assert only_query.reads_alike("student", "twin", ("passage",))


def test_a_special_token_within_a_prompt_is_refused(run_of, folder):
  inner = bert()
  inner.add_special_tokens(["[SEP]"])
  save(folder / "bert", inner)
  main.check(run_of("models.student.prompts={'query': 'sea '}"))
  message = r"student\.prompts\.query: 'old \[SEP\] ' holds '\[SEP\]', which is"
  with pytest.raises(strict.ConfigError, match=message):
    main.check(run_of("models.student.prompts={'query': 'old [SEP] '}"))


def test_prompts_on_a_command_line_keep_their_spaces(folder):
  wanted = {"query": "query: ", "passage": "passage: "}
  part = f"models.student.prompts={wanted}"
  for argument, *overrides in (["config.py", part], [f"config.py:{part}"]):
    loaded = config_file.load(argument, overrides)
    assert loaded.models["student"].prompts == wanted


@pytest.mark.parametrize(
  ("override", "message"),
  [
    ("student.prompts={'document': 'x'}", r"student\.prompts has a key 'doc"),
    ("ce.prompts={'query': 'x'}", r"ce\.prompts is a key of kind dual or late"),
  ],
)
def test_prompts_have_two_keys_and_are_of_embedders(run_of, override, message):
  with pytest.raises(strict.ConfigError, match=message):
    run_of(f"models.{override}")


def test_stages_depend_on_the_tokenizers_that_they_read(run_of, folder):
  def fingerprints() -> dict[str, str]:
    run = run_of()
    jobs = {name: stages.job_of(run, name) for name in run.config.stages}
    return {
      name: json.dumps(stages.kind_of(job).fingerprint(job))
      for name, job in jobs.items()
    }

  before = fingerprints()
  save(folder / "mpnet", mpnet(), mask_token="<mask>")
  after = fingerprints()
  changed = {name for name in before if before[name] != after[name]}
  assert changed == {"ce", "other", "student", "same", "two_duals", "evaluate"}


def as_arrays(batch, field):
  """The ids of a batch's texts, in the order of its queries."""
  order = np.argsort(batch.query_id_B)
  texts = getattr(batch, field)
  return [np.asarray(x)[order] for x in texts]


def first_batch(job: Job, **more):
  made = examples.examples(job, learns_unlabelled=True)
  return next(loader.batches(made, batch_size=8, seed=3, **more))


def alone(run: Run, name: str):
  """The batch that a model reads where it is the one that is trained."""
  return first_batch(stages.job_of(run, name))


@pytest.mark.parametrize(
  ("stage", "teacher", "fields"),
  [
    ("student", "ce", ("pair",)),
    ("two_duals", "other", ("query", "passage")),
  ],
)
def test_a_teacher_in_the_step_reads_tokens_of_its_own(
  run_of, stage, teacher, fields
):
  run = run_of()
  batch = first_batch(stages.job_of(run, stage))
  theirs = alone(run, teacher)
  for field in ("query", "passage", "pair", "triple"):
    assert (getattr(batch.teacher, field) is not None) == (field in fields)
  for field in fields:
    for x, y in zip(
      as_arrays(batch.of_teacher(), field),
      as_arrays(theirs, field),
      strict=True,
    ):
      np.testing.assert_array_equal(x, y)
  assert batch.pair is None
  prefix = run.tokenizer_of("student").special.prefix
  assert (batch.query.ids[:, 0] == prefix[0]).all()
  same = first_batch(stages.job_of(run, "same"))
  assert same.teacher is None and same.of_teacher() is same


@pytest.mark.parametrize("stage", ["student", "two_duals"])
def test_a_step_of_two_tokenizers_is_what_each_model_computes(run_of, stage):
  """The loss with a teacher in the step, and with its scores computed alone."""
  run = run_of()
  job = stages.job_of(run, stage)
  student, teacher = run.model("student"), job.model_of("teacher")
  params, frozen = (
    # Larger than they are drawn, or all passages would score about the same.
    jax.tree.map(lambda x: 8 * x, model.init(jax.random.key(1)))
    for model in (student, teacher)
  )
  batch, theirs = jax.tree.map(
    jnp.asarray, (first_batch(job), alone(run, job.stage.teacher))
  )
  order, back = np.argsort(theirs.query_id_B), np.argsort(batch.query_id_B)
  settings = prod.Settings(**job.stage.settings)
  if settings.in_batch:
    of_query, of_passage, _ = scoring.embed(teacher, frozen, theirs)
    cached = batch._replace(
      teacher_query_BD=put_back(of_query, order, back),
      teacher_passage_BND=put_back(of_passage, order, back),
    )
    sources = Sources(teacher="embeddings")
  else:
    scores_BN = scoring.score(teacher, frozen, theirs, in_batch=False)
    cached = batch._replace(list_scores_BN=put_back(scores_BN, order, back))
    sources = Sources(teacher="scores")
  alone_loss = prod.make(settings, student, sources)
  loss = prod.make(settings, student, Sources(teacher="step", model=teacher))
  wanted, _ = alone_loss(params, {}, cached._replace(teacher=None), rng())
  found, _ = loss(params, {"teacher": frozen}, batch, rng())
  np.testing.assert_allclose(found, wanted, rtol=1e-5)
  other, _ = loss(params, {"teacher": frozen}, with_other_texts(batch), rng())
  assert abs(other - wanted) > 1e-6


def put_back(x, order, back) -> jax.Array:
  """Rows in the order of another batch of the same queries."""
  return jnp.empty_like(x).at[back].set(x[order])


def with_other_texts(batch):
  """The batch with a teacher's texts of other queries."""
  return batch._replace(
    teacher=jax.tree.map(lambda x: jnp.roll(x, 1, axis=0), batch.teacher)
  )


def test_a_teachers_own_texts_share_rows_of_their_own(run_of):
  run = run_of("data.packed=True")
  job = stages.job_of(run, "student")
  packed = first_batch(job, grouping=examples.grouping(job))
  padded = first_batch(job)
  for texts in (packed.query, packed.teacher.pair):
    assert isinstance(texts, Packed)
  teacher = run.model("ce")
  params = teacher.init(jax.random.key(0))
  scores = [
    np.asarray(teacher.score(params, batch.of_teacher().pair)[0])[
      np.argsort(batch.query_id_B)
    ]
    for batch in (packed, padded)
  ]
  np.testing.assert_allclose(*scores, rtol=1e-4, atol=1e-6)


def test_a_run_with_two_tokenizers(run_of):
  """Trains a teacher and then a student with it, packed, on eight devices."""
  run = run_of("data.packed=True")
  main.check(run)
  for name in ("ce", "student"):
    job = stages.job_of(run, name)
    job.folder.mkdir(parents=True)
    assert train.run(job)["steps"] == 1
  found = run.trained_params(job.folder)
  shapes = jax.tree.map(lambda x: x.shape, shapes_of(run.model("student")))
  assert jax.tree.map(lambda x: x.shape, found) == shapes


def test_dark_examples_are_of_a_model_that_reads_alike(run_of, folder):
  stages_text = """
      lists=dict(kind="mine", encoded="encode", split="train", depth=4),
      scores=dict(kind="score", params="ce", candidates="lists"),
      darken=dict(
        kind="darken", params="ce", candidates="lists", strengthened=1,
        masked=1, strengthen_rate=0.2, mask_rate=0.2,
      ),
      dark=dict(
        model="student", method="adam", candidates="lists", scores="scores",
        dark="darken", **TRAIN
      ),
    ), sort_keys=False),
  ))
"""
  config = folder / "config.py"
  head = config.read_text().rpartition("    ), sort")[0]
  config.write_text(head + stages_text.lstrip("\n"))
  message = r"stages\.dark\.dark: darken makes token ids of model ce, and stud"
  with pytest.raises(strict.ConfigError, match=message):
    examples.check(stages.job_of(run_of(), "dark"))
  alike = run_of("models.student.tokenizer=mpnet")
  examples.check(stages.job_of(alike, "dark"))
  message = r"config\.data\.tokenizer: .* mpnet has no mask token"
  darken = stages.job_of(alike, "darken")
  with pytest.raises(strict.ConfigError, match=message):
    stages.kind_of(darken).check(darken)
  save(folder / "mpnet", mpnet(), mask_token="<mask>")
  stages.kind_of(darken).check(stages.job_of(run_of(), "darken"))
  # A plan's are as long as those that are made: with all special tokens.
  inner = mpnet()
  inner.post_processor = processors.TemplateProcessing(
    single="<s> <s> $A </s>",
    pair="<s> <s> $A </s> $B </s>",
    special_tokens=[("<s>", 0), ("</s>", 2)],
  )
  save(folder / "mpnet", inner, mask_token="<mask>")
  job = stages.job_of(run_of("models.student.tokenizer=mpnet"), "dark")
  planned = sources.shaped(job, sources.Extent(4, 3, 5))["dark_examples"]
  assert planned.ids.shape == (4, 2, 12 - 3)


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused(run_of):
  message = (
    r"models\.student\.vocab_size: its embeddings are 17 rows, and the "
    r"tokenizer of bert \(config\.models\.student\.tokenizer\) has 18 tokens"
  )
  with pytest.raises(strict.ConfigError, match=message):
    main.check(run_of("models.student.vocab_size=17"))
  main.check(run_of("models.student.vocab_size=30"))
  message = r"config\.models\.student\.tokenizer: set: expected tokenizer"
  with pytest.raises(strict.ConfigError, match=message):
    run_of("models.student.tokenizer=set").model("student")


def test_the_command_compares_vocabulary_and_weights(run_of, folder):
  """In a dry run too, before anything is read but the folders."""
  run = run_of("models.student.vocab_size=17")
  student = run.model("student")
  params = student.init(jax.random.key(0))
  hf.save(
    folder / "weights",
    params["encoder"],
    student.transformer,
    tokenizer_files=[folder / "bert" / "tokenizer.json"],
  )
  shape = [f"{key}=0" for key in ("width", "depth", "heads", "mlp_width")]
  overrides = ["weights=weights", "tokenizer=", *shape]
  done = commands.run(
    "prod_jax.main",
    *("--dry_run", "--config=config.py", "--workdir=work"),
    *(f"--config.models.student.{override}" for override in overrides),
    cwd=folder,
  )
  assert done.returncode == 2, done.stderr
  assert (
    "config.models.student.weights is 'weights': its embeddings are 17 rows, "
    "and the tokenizer of weights (config.models.student.weights) has 18 "
    "tokens; set config.models.student.tokenizer"
  ) in done.stderr
  assert not (folder / "work").exists()


def test_a_plan_counts_a_teachers_own_texts(run_of):
  jobs = [stages.job_of(run_of(), name) for name in ("student", "same")]
  own, shared = (batches.training(job) for job in jobs)
  assert shared.teacher is None
  assert own.pair is None and own.teacher.query is None
  assert own.teacher.pair.ids.shape == (batches.QUERIES, 3, 20)
  assert own.of_teacher().pair == shared.pair
  counted = [
    training.program(job, 8, Size(12, {"train": 12})).flops(8) for job in jobs
  ]
  assert counted[0] == counted[1] > 0
  grouping = examples.grouping(jobs[0])
  mean = batches.Means(query=6, passage=10, pair=15, triple=24, dark=10)
  whole = batches.of_size(own, 8)
  packed = batches.packed(whole, grouping, 0, mean, window=1)
  assert packed.teacher.pair.place.shape == (8, 3)
  assert packed.teacher.passage is None
