"""A small folder in the MS MARCO layout, and how it is opened."""

import pathlib

import pytest

from prod_jax import config
from prod_jax.sets import dataset

FILES = {
  "collection.tsv": "d1\tOne\tfirst text\nd20\t\tsecond téxt\nd3\tT\tthird\n",
  "queries.train.tsv": "q1\tone?\nq2\ttwo?\nq3\tthree?\nq4\tfour?\n",
  "qrels.train.tsv": "q1 0 d3 1\nq1 0 d1 2\nq2 0 d20 1\nq3 0 d3 0\nq4 0 d1 1\n",
  "queries.test.tsv": "q9\tnine?\n",
  "qrels.test.tsv": "q9\td20\n",
}


@pytest.fixture
def source(tmp_path) -> pathlib.Path:
  folder = tmp_path / "my set"
  folder.mkdir()
  for name, content in FILES.items():
    (folder / name).write_text(content)
  return folder


@pytest.fixture
def open_source(source, tmp_path):
  def opened(**options) -> dataset.Dataset:
    data_dir = str(tmp_path / "prepared")
    data = config.Data(name="folder", path=str(source), **options)
    return dataset.locate(data, data_dir).open()

  return opened
