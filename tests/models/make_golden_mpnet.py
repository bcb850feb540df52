"""Embeddings of all-mpnet-base-v2 by sentence-transformers, as a golden file.

  python -m tests.models.make_golden_mpnet FOLDER

FOLDER is what `make mpnet` unpacks. Needs torch and sentence-transformers.
"""

import json
import pathlib
import sys

import sentence_transformers

TEXTS = (
  "who wrote the first program for a computer",
  "Ada Lovelace wrote notes on Babbage's Analytical Engine.",
  "A sparse matrix keeps only what is not 0; numpy's arrays keep it all.",
  "naïve café, Zürich 2024: 100% ünïcode",
  "x",
)
GOLDEN = pathlib.Path(__file__).with_name("golden_mpnet.json")


def main(folder: str) -> None:
  model = sentence_transformers.SentenceTransformer(folder, device="cpu")
  vectors = model.encode(list(TEXTS))
  GOLDEN.write_text(
    json.dumps(
      {
        "made_by": f"sentence-transformers {sentence_transformers.__version__}",
        "first": {
          text: [round(float(x), 8) for x in vector[:8]]
          for text, vector in zip(TEXTS, vectors, strict=True)
        },
      },
      indent=2,
      ensure_ascii=False,
    )
    + "\n"
  )


if __name__ == "__main__":
  main(sys.argv[1])
