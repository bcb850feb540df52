"""What a student learns from: one file a paper, and what they share.

scoring           how a batch becomes a matrix of scores
layers            scores of inner layers
matryoshka        any method's loss at several widths of a vector
contrastive       labels alone, for encoders of queries and passages
ranking           labels, and a teacher if asked, for cross-encoders
pairwise_ranking  labels alone, for cross-encoders that read two passages
margin_mse        the margins of a teacher
rocketqa_v2       a retriever and a cross-encoder that learn together
prod              PROD: a teacher's distribution, and what was known before
lead              LEAD: distributions of layers
cl_drd            CL-DRD: groups of a teacher's ranking as labels
pair_distill      PairDistill: a pairwise teacher beside a pointwise one
adam              ADAM: dark examples, self-paced
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar, runtime_checkable

from prod_jax.methods.scoring import Sources
from prod_jax.models import Encoder
from prod_jax.train.step import LossFn

S = TypeVar("S")


@runtime_checkable
class Method(Protocol[S]):
  """What the module of a method has, whose settings are S.

  Attributes:
    TRAINS: the kinds of model that it can train.
    READS: the names of `Sources` that it has a use for.
    Settings: the frozen dataclass of its settings, checked as it is made.

  A method whose loss has parameters of its own has `beside`, too, as of PROD:
  (settings, student, sources, key) to trees by name. They are trained with the
  student, `params` is then {"student", …their names}, and none is kept behind
  the stage. One that can learn from queries without labels has
  `learns_unlabelled`: settings to whether it does; its terms of the label are 0
  there (`scoring.Columns`). One that divides scores by a temperature has
  `temperatures`: settings to the teacher's and the student's, for the report of
  scores.
  """

  TRAINS: Sequence[str]
  READS: Sequence[str]
  Settings: type[S]

  def make(self, settings: S, student: Encoder, sources: Sources) -> LossFn:
    """The loss of a stage.

    Raises:
      ConfigError: for a term that has nothing to read.
    """
