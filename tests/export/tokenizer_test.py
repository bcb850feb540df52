"""Tokenizers that go out: a vocab.txt of any family gives the ids of before."""

import json

import pytest
import tokenizers
from tokenizers import models

from prod_jax.batches import tokens
from prod_jax.export import tokenizer
from tests.batches.special_test import BERT, ROBERTA, WORDS, word_piece

TEXTS = ["tea boats", "old\u2028sea", "wind\x85of the sea"]
OF_MPNET = dict(
  tokenizer_class="MPNetTokenizer",
  cls_token="<s>",
  sep_token={"__type": "AddedToken", "content": "</s>"},
  pad_token="<pad>",
  mask_token="<mask>",
)


def written(tmp_path, special, settings, words=WORDS, end="\n"):
  """Our tokenizer of a vocab.txt, and the folder that it goes out to."""
  source, to = tmp_path / "source", tmp_path / "to"
  source.mkdir()
  to.mkdir()
  text = end.join([*special, *words]) + end
  (source / "vocab.txt").write_bytes(text.encode())
  (source / "tokenizer_config.json").write_text(json.dumps(settings))
  ours = tokens.load_tokenizer(source)
  tokenizer.write(to, source, longest=20, ours=ours, types=special == BERT)
  return ours, to


def test_a_text_is_cut_and_padded_behind_it_as_in_a_run(tmp_path):
  left = dict(padding_side="left", truncation_side="left", stride=3)
  _, to = written(tmp_path, BERT, left)
  said = json.loads((to / "tokenizer_config.json").read_text())
  assert (said["padding_side"], said["truncation_side"]) == ("right", "right")
  assert "stride" not in said


@pytest.mark.parametrize(
  ("special", "settings", "around"),
  [
    (BERT, {}, ((2,), (3,), (3,))),
    # Unknown words have one name in every WordPiece of transformers.
    ((*ROBERTA, "[UNK]"), OF_MPNET, ((0,), (2, 2), (2,))),
    (
      (*ROBERTA, "[UNK]"),
      OF_MPNET | dict(tokenizer_class="BertTokenizer"),
      ((0,), (2,), (2,)),
    ),
  ],
)
def test_a_vocabulary_alone(tmp_path, special, settings, around):
  ours, to = written(tmp_path, special, settings)
  assert ours.special[:3] == around
  again = tokens.load_tokenizer(to)
  assert again.special == ours.special
  for one, other in zip(ours.encode(TEXTS), again.encode(TEXTS), strict=True):
    assert one.tolist() == other.tolist()
  library = pytest.importorskip("transformers", reason="it is not in the lock")
  theirs = library.AutoTokenizer.from_pretrained(to)
  prefix, between, suffix = around
  first, second = (x.tolist() for x in ours.encode(["tea", "old sea"]))
  expected = [*prefix, *first, *between, *second, *suffix]
  found = theirs("tea", "old sea")
  assert found["input_ids"] == expected
  if special == BERT:
    assert found["token_type_ids"] == [0, 0, 0, 1, 1, 1]
  else:
    assert "token_type_ids" not in found


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_characters_that_end_lines_elsewhere_are_tokens(tmp_path, end):
  words = ["x\u2028y", "x\x85y", "x\x0cy", *WORDS]
  ours, to = written(tmp_path, BERT, {}, words, end)
  vocab = json.loads((to / "tokenizer.json").read_text())["model"]["vocab"]
  assert vocab["x\u2028y"] == 5
  assert vocab["sea"] == ours.id_of("sea") == len(BERT) + words.index("sea")


def exported(folder, inner, settings, model_type):
  """Ids of a text: by the run, by the file that goes out, and read again.

  It goes to a student's folder, whose config.json is one of BERT.
  """
  source, to = folder / "source", folder / "to"
  source.mkdir()
  to.mkdir()
  inner.save(str(source / "tokenizer.json"))
  for name, said in {
    "config.json": {"model_type": model_type},
    "tokenizer_config.json": settings,
  }.items():
    (source / name).write_text(json.dumps(said))
  (to / "config.json").write_text(json.dumps({"model_type": "bert"}))
  ours = tokens.load_tokenizer(source)
  tokenizer.write(to, source, longest=32, ours=ours, types=False)
  alone = tokenizers.Tokenizer.from_file(str(to / "tokenizer.json"))
  text = "Sea tea"
  return (
    ours.encode([text])[0].tolist(),
    alone.encode(text, add_special_tokens=False).ids,
    tokens.load_tokenizer(to).encode([text])[0].tolist(),
  )


@pytest.mark.parametrize(
  ("lowers", "settings", "sea"),
  [(True, {"do_lower_case": False}, "Sea"), (False, {}, "sea")],
)
def test_the_file_alone_reads_as_the_class_has_made_it(
  tmp_path, lowers, settings, sea
):
  """What file and settings say of case is not the same."""
  ids = {word: i for i, word in enumerate([*BERT, "sea", "tea", "Sea"])}
  inner = word_piece(BERT)
  inner.model = models.WordPiece(ids, unk_token="[UNK]")
  inner.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lowers)
  wanted = [ids[sea], ids["tea"]]
  assert exported(tmp_path, inner, settings, "bert") == (wanted,) * 3


def test_a_tokenizer_of_another_family_keeps_its_class(tmp_path):
  """Its own config.json said which; a student's says BERT."""
  words = [*ROBERTA, "<unk>", "\u2581tea", "\u2581Sea", "\u2581"]
  inner = tokenizers.Tokenizer(
    models.Unigram([(w, -1.0) for w in words], words.index("<unk>"))
  )
  inner.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
  inner.add_special_tokens([*ROBERTA, "<unk>"])
  wanted = [words.index("\u2581Sea"), words.index("\u2581tea")]
  assert exported(tmp_path, inner, {}, "xlm-roberta") == (wanted,) * 3
  said = json.loads((tmp_path / "to" / "tokenizer_config.json").read_text())
  assert said["tokenizer_class"] == "XLMRobertaTokenizer"
