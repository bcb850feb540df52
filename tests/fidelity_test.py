"""What docs/FIDELITY.md says of ours and of the official codes, in numbers.

Values are worked by hand, from the formulas of the official codes. A test that
another file has is named on the page and not written again.
"""

import collections
import itertools
import math
import pathlib
import string

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tokenizers

from prod_jax import config_file, kinds
from prod_jax.batches import draws, rows, tokens
from prod_jax.batches.draws import Balanced, Lists, Random, SimAns
from prod_jax.batches.lists import Candidates, first_rank, relabel
from prod_jax.batches.store import store_of
from prod_jax.losses import contrastive, max_sim
from prod_jax.methods import pair_distill, prod
from prod_jax.methods.scoring import Sources
from prod_jax.models.dual import DualEncoder
from prod_jax.retrieval import divide
from prod_jax.sets import answers
from prod_jax.sets.records import Passage
from prod_jax.train.optim import make_optimizer, schedule
from tests.batches.special_test import BERT, bert, save, word_piece
from tests.methods.batches import DUAL, batch, rng

REPO = pathlib.Path(__file__).parents[1]

S = jnp.array([[2.0, 1.0, 0.0], [0.5, 1.5, -1.0]])
Z = jnp.array([[3.0, 0.0, -1.0], [2.0, 1.0, 0.0]])
O = jnp.array([[1.0, 1.0, 0.0], [1.0, 0.0, -1.0]])  # noqa: E741


# PROD.


class Given(DualEncoder):
  """A dual encoder whose parameters are its vectors."""

  def embed(self, params, tokens, tower, *, dropout_key=None):
    del tokens, dropout_key
    return params[tower], {}


@pytest.mark.parametrize(
  ("kd", "lwf_kd", "lwf", "total"),
  [
    ("softmax", "softmax", 0.2558869227, 0.7464295338),
    ("logit", "softmax", 0.2558869227, 0.8323441725),
    ("logit", "logit", 0.2916666667, 0.8681239165),
    ("prob", "softmax", 0.2558869227, 1.4655975449),
  ],
)
def test_lwf_is_kl_and_where_asked_the_distance_of_logits(
  kd, lwf_kd, lwf, total
):
  """T = 4; .1 of the labels, .9 of the teacher, 1 of the anchor."""
  student = Given(DUAL.transformer, tied=True, pooling="cls", similarity="dot")
  query = jnp.eye(2)
  params = {"query": query, "passage": S[..., None] * query[:, None]}
  ids = jnp.arange(6).reshape(2, 3)
  data = batch(list_scores_BN=Z, anchor_BN=O)._replace(
    where_BN=ids >= 0, passage_id_BN=ids, positive_id_BM=ids[:, :1]
  )
  settings = prod.Settings(
    in_batch=False,
    temperature=4.0,
    hard=0.1,
    soft=0.9,
    lwf=1.0,
    kd=kd,
    lwf_kd=lwf_kd,
  )
  sources = Sources(teacher="scores", beside=frozenset({"anchor"}))
  loss, metrics = prod.make(settings, student, sources)(params, {}, data, rng())
  np.testing.assert_allclose(metrics["lwf"], lwf, rtol=1e-5)
  np.testing.assert_allclose(loss, total, rtol=1e-5)


def test_padding_of_a_query_adds_nothing():
  """Two words and two places of padding, whose vectors are no zeros."""
  query = jnp.array([[[1.0, 0], [0, 1], [0.6, 0.8], [0.6, 0.8]]])
  passage = jnp.array([[[0.8, 0.6], [0.0, 1]]])
  there = jnp.ones((1, 2), bool)
  words = jnp.array([[True, True, False, False]])
  ours = max_sim.in_batch_scores(query, words, passage, there)
  official = max_sim.in_batch_scores(
    query, jnp.ones((1, 4), bool), passage, there
  )
  np.testing.assert_allclose(ours, [[0.8 + 1]], rtol=1e-6)
  np.testing.assert_allclose(official, [[0.8 + 1 + 2 * 0.96]], rtol=1e-6)


def test_a_positive_that_two_queries_share_is_no_negative():
  s_BP, target_B = jnp.zeros((2, 2)), jnp.array([0, 1])
  ids = jnp.array([7, 7])
  where_BP = contrastive.in_batch_where(ids[:, None], ids, target_B)
  ours = contrastive.cross_entropy(s_BP, target_B, where=where_BP)
  official = contrastive.cross_entropy(s_BP, target_B)
  assert ours.tolist() == [0, 0]
  np.testing.assert_allclose(official, [math.log(2)] * 2, rtol=1e-6)


def of_labels(*label: int, **fields) -> Lists:
  """One list in its order, with labels."""
  ids = np.arange(len(label), dtype=np.int32)[None]
  score = np.arange(len(label), 0.0, -1)[None]
  made = Lists(ids, np.array([label], bool), score, None, None)
  return made._replace(**fields)


def test_the_positive_is_the_best_ranked_one():
  for draw in (Random(), draws.Descend(), SimAns(0.5, 0.0)):
    columns = draw(of_labels(0, 1, 0, 1), 2, np.random.default_rng(0))
    assert columns[0, 0] == 1
    assert set(columns[0, 1:]) == {0, 2}


def test_a_pair_keeps_what_the_dual_encoder_cuts_for_its_special_tokens():
  special = bert_tokens(bert()).special
  query, passage = (
    store_of([np.arange(9, 9 + n, dtype=np.int32)]).slices(np.array([0]))
    for n in (1, 8)  # a store of passages of at most 8 tokens
  )
  assert rows.single(passage, 8, special).kept[0].tolist() == [6]
  joined = rows.pair(query, passage, 6, 6 + 8, special)
  assert joined.kept[1].tolist() == [8]
  read = rows.padded(joined, 14)
  assert read.ids[0, :2].tolist() == [2, 9]
  assert read.ids[0, 11] == 3 and read.ids[0, 12:].tolist() == [0, 0]
  assert read.type[0].tolist() == [0, 0, 0] + [1] * 9 + [0, 0]


# Texts.


def bert_tokens(inner: tokenizers.Tokenizer) -> tokens.Tokenizer:
  return tokens.Tokenizer(pathlib.Path("tokenizer.json"), inner, {})


def read(title: str, text: str, length: int) -> list[str]:
  """The words that a dual encoder reads of a passage."""
  ours = bert_tokens(bert())
  (row,) = tokens.with_titles(ours, [Passage("1", title, text)], "[SEP]", "")
  joined = rows.single(
    store_of([row[:length]]).slices(np.array([0])), length, ours.special
  )
  ids = rows.padded(joined, length).ids[0].tolist()
  return " ".join(bert().id_to_token(i) for i in ids if i).split()


def read_there(title: str, text: str, length: int) -> list[str]:
  """As the official codes ask the library, cutting the longer part first."""
  inner = bert()
  inner.enable_truncation(length, strategy="longest_first")
  return inner.encode(title, text).tokens


@pytest.mark.parametrize(
  ("title", "text", "ours", "official"),
  [
    (
      "tea and boats are old",
      "the sea",
      "[CLS] tea and boats are old [SEP]",
      "[CLS] tea and [SEP] the sea [SEP]",
    ),
    (
      "tea and boats",
      "the sea wind",
      "[CLS] tea and boats [SEP] the [SEP]",
      "[CLS] tea and [SEP] the sea [SEP]",
    ),
    (
      "tea",
      "the sea and the wind of boats",
      "[CLS] tea [SEP] the sea and [SEP]",
      "[CLS] tea [SEP] the sea and [SEP]",
    ),
  ],
)
def test_a_long_title_is_cut_last_and_not_with_its_text(
  title, text, ours, official
):
  assert read(title, text, 7) == ours.split()
  assert read_there(title, text, 7) == official.split()


def test_a_passage_without_title_is_its_text_alone():
  assert read("", "the sea", 9) == ["[CLS]", "the", "sea", "[SEP]"]
  dash = word_piece([*BERT, "-"])
  official = bert_tokens(dash)
  (row,) = tokens.with_titles(
    official, [Passage("1", "-", "the sea")], "[SEP]", ""
  )
  assert [dash.id_to_token(i) for i in row] == ["-", "[SEP]", "the", "sea"]


def test_a_curly_apostrophe_stays_what_it_is(tmp_path):
  inner = word_piece([*BERT, "'", "\u2019", "s"])
  ours = tokens.load_tokenizer(save(tmp_path, inner))
  curly, straight = ours.encode(["tea\u2019s", "tea's"])
  assert [inner.id_to_token(i) for i in curly] == ["tea", "\u2019", "s"]
  assert [inner.id_to_token(i) for i in straight] == ["tea", "'", "s"]


# Answers.


def test_the_gold_passage_counts_without_the_answer():
  """First is the gold passage, which lacks the answer; the third has it."""
  ids = np.array([[4, 5, 6]], np.int32)
  mined = Candidates(
    query=np.array([0], np.int32),
    ids=ids,
    label=ids == 4,
    rank=np.array([[0, 1, 2]], np.int32),
    score=np.array([[3, 2, 1]], np.float32),
  )
  by_answer = ids == 6
  lists = relabel(mined, by_answer, np.array([4]))
  assert lists.label.tolist() == [[True, False, True]]
  assert divide.student_ranks(lists).tolist() == [0]
  assert first_rank(mined.rank, by_answer).tolist() == [2]  # the official one
  # The teacher puts the answer first: the official rule keeps the query.
  scores = np.array([[1.0, 2, 3]])
  assert divide.teacher_ranks(lists, scores).tolist() == [0]
  stage = kinds.Divide(
    kind="divide", scores="s", candidates="c", rule="nq", teacher_to=14
  )
  zero, two = np.array([0]), np.array([2])
  assert divide.keep(zero, zero, stage).tolist() == [False]
  assert divide.keep(two, zero, stage).tolist() == [True]


def test_an_answer_without_tokens_is_found_nowhere():
  """A list without members is a slice of any list, which is what is there."""
  text = "any text"
  for answer in ("", " ", "\u200b"):
    assert answers.tokens(answer) == ()
    official = list(answers.tokens(text))[0:0] == list(answers.tokens(answer))
    assert official
    marks = answers.mark(np.array([[0]]), [[answer]], [Passage("a", "", text)])
    assert not marks.any()
  assert answers.tokens("?") == ("?",)


# Draws.


def test_simans_draws_one_after_the_other_from_what_is_left():
  """Two of three, whose weights are 1, e^-.5 and e^-2 at a = .5, b = 0."""
  score = np.array([[10.0, 10, 9, 12]])
  lists = of_labels(1, 0, 0, 0, score=score)
  p = np.exp([0.0, -0.5, -2.0])
  p /= p.sum()
  wanted = {
    (i, j): p[i] * p[j] / (1 - p[i])
    for i, j in itertools.permutations(range(3), 2)
  }
  generator, times = np.random.default_rng(0), 6000
  drawn = [
    SimAns(0.5, 0.0)(lists, 2, generator)[0, 1:] - 1 for _ in range(times)
  ]
  count = collections.Counter((int(i), int(j)) for i, j in drawn)
  for pair, share in wanted.items():
    np.testing.assert_allclose(count[pair] / times, share, atol=0.02)


def test_the_sign_of_b_is_turned_by_its_sign():
  negative, positive = np.array([[8.0, 9, 10]]), np.array([[10.0]])
  ours = SimAns(0.5, 1.0).log_weight(negative, positive)
  official = SimAns(0.5, -1.0).log_weight(negative, positive)
  np.testing.assert_allclose(ours, [[-4.5, -2, -0.5]])
  np.testing.assert_allclose(official, [[-0.5, 0, -0.5]])


def test_a_query_with_one_pair_is_trained_on():
  lists = of_labels(1, 0, teacher=np.array([[9.0, 2.0]]))
  columns = Balanced(10)(lists, 1, np.random.default_rng(0))
  assert columns.tolist() == [[0, 1]]


# LEAD.


def stage_of(**changes):
  named = dict(kind="train", model="m", method="lead")
  sizes = dict(steps=10, batch_size=1, learning_rate=1.0)
  return kinds.Train(**named, **sizes, **changes)


def test_a_warm_up_begins_with_a_step():
  """transformers' schedule has a rate of 0 there, and the peak a step later."""
  stage = stage_of(warmup_steps=4)
  ours = [float(schedule(stage)(step)) for step in range(10)]
  official = [min(step / 4, (10 - step) / 6) for step in range(10)]
  np.testing.assert_allclose(ours[:4], [0.25, 0.5, 0.75, 1.0], rtol=1e-6)
  assert official[:4] == [0.0, 0.25, 0.5, 0.75]
  np.testing.assert_allclose(ours[4:], official[4:], rtol=1e-6)


def test_two_models_are_clipped_by_their_common_norm():
  """Gradients of 3 and 4, clipped at 1; apart, both would be 1."""
  stage = stage_of(clip=1.0)
  optimizer = make_optimizer(stage)
  gradient = {"student": jnp.array([3.0]), "teacher": jnp.array([4.0])}
  state = optimizer.init(gradient)
  _, state = optimizer.update(gradient, state, gradient)
  first_moment = optax.tree_utils.tree_get(state, "mu")
  np.testing.assert_allclose(first_moment["student"], [0.06], rtol=1e-5)
  np.testing.assert_allclose(first_moment["teacher"], [0.08], rtol=1e-5)


# PairDistill.


def test_the_positive_of_pair_distill_is_the_labelled_one():
  """Whatever the pointwise teacher ranks first."""
  lists = of_labels(0, 0, 1, teacher=np.array([[5.0, 9, 1]]))
  for _ in range(5):
    columns = Random()(lists, 2, np.random.default_rng(0))
    assert columns[0, 0] == 2
    assert lists.teacher.argmax() == 1


def test_the_colbert_of_pair_distill_is_marked_and_masked_where_asked():
  config = f"{REPO / 'configs' / 'pairdistill_msmarco_passage.py'}:colbert"
  ours = config_file.load(config, []).models["colbert"]
  assert (ours.mask_queries, ours.hide_masks) == (True, False)
  assert (ours.skip, dict(ours.prompts)) == ((), {})
  prompts = {"query": "[unused0] ", "passage": "[unused1] "}
  official = config_file.load(
    config,
    [
      "models.colbert.hide_masks=True",
      f"models.colbert.skip={tuple(string.punctuation)}",
      f"models.colbert.prompts={prompts}",
    ],
  ).models["colbert"]
  assert official.hide_masks and official.skip == tuple(string.punctuation)
  assert dict(official.prompts) == prompts


def test_the_in_batch_term_of_pair_distill_is_over_a_micro_batch():
  """Of 32 queries in all; their code sets four of them against each other."""
  config = f"{REPO / 'configs' / 'pairdistill_msmarco_passage.py'}:colbert"

  def together(*overrides):
    stage = config_file.load(config, overrides).stages["pair_distill"]
    return stage.batch_size // stage.accumulation

  assert together() == 16
  assert together("stages.pair_distill.accumulation=8") == 4


def test_a_labelled_passage_of_another_query_is_no_negative_in_batch():
  """METHODS' numbers, where the other query brought a positive of the first."""
  ids = jnp.array([[10, 11], [20, 21]])
  positives = jnp.array([[10, 20], [20, -1]])
  two = batch()._replace(passage_id_BN=ids, positive_id_BM=positives)
  target_B, where_BP = pair_distill.others_columns(two)
  s_BP = jnp.array([[5.0, 99, 2, 0], [1.0, 0, 4, 99]])
  ours = contrastive.cross_entropy(s_BP, target_B, where=where_BP)
  others = jnp.array([[True, False, True, True], [True, True, True, False]])
  official = contrastive.cross_entropy(s_BP, target_B, where=others)
  np.testing.assert_allclose(ours, [0.0067153485, 0.0658839038], rtol=1e-4)
  np.testing.assert_allclose(official, [0.0549852354, 0.0658839038], rtol=1e-4)
