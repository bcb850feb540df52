"""All that is made once, before anything is measured.

python -m benchmarks.prepare --cache=FOLDER [--data=FOLDER] [--corpus]
"""

import argparse
import pathlib

from benchmarks import corpus, ours, texts


def main() -> None:
  """The command."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--cache", type=pathlib.Path, required=True)
  parser.add_argument("--data", default="")
  parser.add_argument("--corpus", action="store_true")
  args = parser.parse_args()
  if not (args.cache / "texts" / texts.LISTS).exists():
    texts.prepare(args.cache, args.data)
  ours.prepare(args.cache)
  if args.corpus:
    corpus.prepare(args.cache)


if __name__ == "__main__":
  main()
