"""How an exported model is used, as Python for its card.

Each snippet gives the numbers that the model was trained to give: with its
pooling, its lengths, its prompts, and a vector of length 1 for a cosine. Only
LangChain's class takes no length: it cuts at the folder's, the longer one.
"""

import textwrap
from collections.abc import Mapping
from typing import NamedTuple

_POOLINGS = {
  "cls": "  vectors = hidden[:, 0]",
  "mean": """\
  mask = batch["attention_mask"].unsqueeze(-1)
  vectors = (hidden * mask).sum(1) / mask.sum(1)""",
  "max": """\
  mask = batch["attention_mask"].unsqueeze(-1) == 1
  vectors = hidden.masked_fill(~mask, -torch.inf).max(1).values""",
  "mean_sqrt_len": """\
  mask = batch["attention_mask"].unsqueeze(-1)
  vectors = (hidden * mask).sum(1) / mask.sum(1).sqrt()""",
  "last": """\
  last = batch["attention_mask"].sum(1) - 1
  vectors = hidden[torch.arange(len(hidden)), last]""",
}
_NORMALIZE = "  vectors = torch.nn.functional.normalize(vectors)\n"


class Use(NamedTuple):
  """What the snippets of a model say.

  Attributes:
    query, passage: where the towers are, a folder or an id of a hub; the same
      where they are one.
    folder: of all files.
    query_length, passage_length: tokens that texts are cut to.
    prompts: "query" and "passage", what stands in front of a text.
    pooling: of the model.
    cosine: whether vectors have length 1.
    width: of a vector.
  """

  query: str
  passage: str
  folder: str
  query_length: int
  passage_length: int
  prompts: Mapping[str, str]
  pooling: str
  cosine: bool
  width: int


def of_dual(use: Use) -> dict[str, str]:
  """Title to code, for a dual encoder."""
  return {
    "sentence-transformers": _sentence_transformers(use),
    "transformers": _transformers(use),
    "LangChain": _langchain(use),
    "faiss": _faiss(use),
  }


def of_graphs(use: Use) -> dict[str, str]:
  """The same for the graphs of a dual encoder."""
  files = use
  if use.query == use.passage:
    files = use._replace(query=use.folder, passage=use.folder)
  return {
    "sentence-transformers on onnxruntime": _backend(use),
    "onnxruntime alone": _onnxruntime(files),
  }


def of_cross(name: str) -> dict[str, str]:
  """The same for a cross-encoder."""
  return {
    "sentence-transformers": textwrap.dedent(f"""\
      from sentence_transformers import CrossEncoder

      model = CrossEncoder({name!r})
      scores = model.predict([("a question", "a passage")])
      """)
  }


def _sentence_transformers(use: Use) -> str:
  """Two objects, because a length belongs to one."""
  return textwrap.dedent(f"""\
    from sentence_transformers import SentenceTransformer

    of_queries = SentenceTransformer({use.query!r})
    of_queries.max_seq_length = {use.query_length}
    of_passages = SentenceTransformer({use.passage!r})
    of_passages.max_seq_length = {use.passage_length}

    queries = of_queries.encode_query(["a question"])
    passages = of_passages.encode_document(["a passage", "another one"])
    scores = queries @ passages.T
    """)


def _backend(use: Use) -> str:
  return textwrap.dedent(f"""\
    # pip install "sentence-transformers[onnx]"
    from sentence_transformers import SentenceTransformer

    on_onnx = dict(
      backend="onnx",
      model_kwargs={{"file_name": "model.onnx"}},  # or model_int8.onnx
    )
    of_queries = SentenceTransformer({use.query!r}, **on_onnx)
    of_queries.max_seq_length = {use.query_length}
    of_passages = SentenceTransformer({use.passage!r}, **on_onnx)
    of_passages.max_seq_length = {use.passage_length}

    queries = of_queries.encode_query(["a question"])
    passages = of_passages.encode_document(["a passage", "another one"])
    scores = queries @ passages.T
    """)


def _onnxruntime(use: Use) -> str:
  """Reads files: an id of a hub is no name here."""
  query, passage = (use.prompts.get(k, "") for k in ("query", "passage"))
  return f"""\
import numpy as np
import onnxruntime
from tokenizers import Tokenizer


def embed(folder, texts, length):
  tokenizer = Tokenizer.from_file(f"{{folder}}/tokenizer.json")
  tokenizer.enable_truncation(length)
  tokenizer.enable_padding()
  rows = tokenizer.encode_batch(texts)
  said = {{
    "input_ids": np.array([row.ids for row in rows], np.int64),
    "attention_mask": np.array([row.attention_mask for row in rows], np.int64),
    "token_type_ids": np.array([row.type_ids for row in rows], np.int64),
  }}
  session = onnxruntime.InferenceSession(f"{{folder}}/onnx/model.onnx")
  feed = {{x.name: said[x.name] for x in session.get_inputs()}}
  (vectors,) = session.run(["sentence_embedding"], feed)
  return vectors


queries = embed({use.query!r}, [{query + "a question"!r}], {use.query_length})
passages = embed(
  {use.passage!r}, [{passage + "a passage"!r}], {use.passage_length}
)
scores = queries @ passages.T
"""


def _transformers(use: Use) -> str:
  pool = _POOLINGS[use.pooling]
  normalize = _NORMALIZE if use.cosine else ""
  query, passage = (use.prompts.get(k, "") for k in ("query", "passage"))
  return f"""\
import torch
from transformers import AutoModel, AutoTokenizer


def embed(name, texts, length):
  tokenizer = AutoTokenizer.from_pretrained(name)
  model = AutoModel.from_pretrained(name).eval()
  batch = tokenizer(
    texts, padding=True, truncation=True, max_length=length, return_tensors="pt"
  )
  with torch.no_grad():
    hidden = model(**batch).last_hidden_state
{pool}
{normalize}  return vectors


queries = embed({use.query!r}, [{query + "a question"!r}], {use.query_length})
passages = embed(
  {use.passage!r}, [{passage + "a passage"!r}], {use.passage_length}
)
scores = queries @ passages.T
"""


def _langchain(use: Use) -> str:
  return textwrap.dedent(f"""\
    from langchain_huggingface import HuggingFaceEmbeddings

    # Both cut texts at {max(use.query_length, use.passage_length)} tokens.
    passages = HuggingFaceEmbeddings(
      model_name={use.passage!r},
      encode_kwargs={{"prompt_name": "document"}},
    )
    queries = HuggingFaceEmbeddings(
      model_name={use.query!r},
      query_encode_kwargs={{"prompt_name": "query"}},
    )
    vectors = passages.embed_documents(["a passage", "another one"])
    vector = queries.embed_query("a question")
    """)


def _faiss(use: Use) -> str:
  """Behind the first snippet."""
  return textwrap.dedent(f"""\
    import faiss

    index = faiss.IndexFlatIP({use.width})
    index.add(passages)
    scores, rows = index.search(queries, 2)
    """)
