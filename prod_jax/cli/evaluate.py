"""Any rankers on any set, measured and compared.

  prod_jax evaluate runs/quickstart --per_query=queries.tsv
  prod_jax evaluate bm25 runs/quickstart:student_de --compare
  prod_jax evaluate runs/quickstart runs/mine --compare

A SYSTEM is one of these, or LABEL= and one of these:

  bm25, bm25:LANGUAGE    words, with the extra bm25
  FILE.trec, FILE.run    a TREC run
  WORKDIR:STAGE          what a train stage has made
  WORKDIR:MODEL          a model of a run, with its config's weights
  FOLDER, NAME/MODEL     a model's folder, exported or of sentence-transformers,
                         or its name on a hub

The set is that of --config.data.… in a folder as MS MARCO or BEIR has them, or
a published one, and else that of the first WORKDIR. Beside others WORKDIR is
its student that was accepted or trained last; alone on the line it compares
the stages of a run's student by the runs that they left.
"""

import argparse

from prod_jax import kinds
from prod_jax.cli import arguments


def build(parser: arguments.Parser) -> None:
  parser.add_argument(
    "systems", metavar="SYSTEM…", nargs="+", help="What is measured."
  )
  parser.add_overrides("of the set, such as data.path")
  parser.add_argument(
    "--split",
    metavar="NAME",
    help="Whose queries are ranked; test where nothing else is said.",
  )
  parser.add_argument(
    "--metrics",
    metavar="NAMES",
    type=arguments.names,
    default=list(kinds.Evaluate.metrics),
    help="What is measured, such as ndcg@10. Comparisons are by the first.",
  )
  parser.add_argument(
    "--relevant",
    metavar="GRADE",
    type=arguments.at_least(1),
    help="Lowest grade that counts in binary metrics; as the runs that are "
    "named measured the split, else 1.",
  )
  parser.add_argument(
    "--depth",
    metavar="N",
    type=arguments.at_least(1),
    default=100,
    help="Passages that are found for a query.",
  )
  _add_comparison(parser)
  _add_files(parser)


def _add_comparison(parser: arguments.Parser) -> None:
  parser.add_argument(
    "--first",
    metavar="LABEL",
    help="The system whose passages are put in order by those that read pairs; "
    "the first one on the line where it is not given.",
  )
  parser.add_argument(
    "--rerank_depth",
    metavar="N",
    type=arguments.at_least(1),
    default=100,
    help="How many passages these put in order.",
  )
  parser.add_switch(
    "compare", "Compare each system with the first one on the line."
  )
  parser.add_argument(
    "--changed",
    metavar="N",
    type=arguments.at_least(0),
    default=10,
    help="Of a comparison, the queries to show.",
  )


def _add_files(parser: arguments.Parser) -> None:
  parser.add_argument(
    "--per_query",
    metavar="FILE",
    help="File for the values of each query, .tsv or .json.",
  )
  parser.add_json("figures and comparisons")
  parser.add_argument(
    "--run",
    metavar="FILE",
    help="FILE.trec for the ranking as a TREC run; of several FILE.LABEL.trec.",
  )
  parser.add_argument(
    "--cache_dir",
    metavar="DIR",
    default="~/.cache/prod_jax/evaluate",
    help="Folder for prepared sets and their tokens, which are then not made "
    "again.",
  )


def run(args: argparse.Namespace) -> None:
  from prod_jax import memory

  with memory.imports():
    from prod_jax.cli import measured

  measured.run(args)


if __name__ == "__main__":
  arguments.start(__name__)
