"""What a folder was perhaps meant as; only names of files are looked at."""

import pytest

from prod_jax.sets import mistaken


@pytest.fixture
def folder(tmp_path):
  """A function that makes a folder of empty files."""

  def make(*names):
    for name in names:
      (tmp_path / name).parent.mkdir(exist_ok=True)
      (tmp_path / name).touch()
    return tmp_path

  return make


@pytest.mark.parametrize(
  ("file", "name", "form"),
  [
    ("collection.tsv", "msmarco_passage", ""),
    ("collection.tar.gz", "msmarco_passage", ""),
    ("collectionandqueries.tar.gz", "msmarco_passage", ""),
    ("collection.tar.gz", "folder", "msmarco_passage"),
    ("collection.tsv.gz", "beir", "folder"),
    ("corpus.jsonl", "msmarco_passage", "beir"),
  ],
)
def test_another_form_is_named_and_ones_own_is_not(folder, file, name, form):
  said = mistaken.other_form(str(folder(file)), name)
  advice = f"; it has {file}, which config.data.name={form} reads"
  assert said == (advice.replace(".tsv.gz", ".tsv") if form else "")


def test_a_set_one_folder_further_down(folder):
  path = folder("inner/collection.tar.gz")
  said = mistaken.other_form(str(path), "msmarco_passage")
  assert said == f"; there is one in {path}/inner, for config.data.path"


@pytest.mark.parametrize(
  ("files", "said"),
  [
    ("queries.eval.tsv", ""),  # as MS MARCO has them, without labels
    (
      "queries.eval.tsv qrels.eval.tsv",
      "; queries.eval.tsv is not read, name it queries.dev.tsv"
      "; qrels.eval.tsv is not read, name it qrels.dev.tsv",
    ),
    (
      "qrels/val.tsv.gz qrels/eval.tsv",
      "; qrels/val.tsv.gz is not read, name it qrels/dev.tsv.gz"
      "; qrels/eval.tsv is not read, name it qrels/test.tsv",
    ),
  ],
)
def test_a_file_of_a_split_is_named_once(folder, files, said):
  path = folder(*files.split())
  assert mistaken.other_name(path, "train", "dev", "test") == said
