"""CL-DRD on the start of baselines.py: a curriculum of orders.

    python -m prod_jax.main --config=configs/cl_drd.py --workdir=runs/cl_drd

Three iterations, in each of which more of the cross-encoder's ranking is
ordered. In the official code a query has 30 passages: 5, then 10, then all of
them in order, and two groups behind these. Here it has 9: 3, 5, then all 9.
"""

import baselines
from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
  """The experiment; `variant` is "" or "runlocal"."""
  return baselines.experiment(variant, baselines.start() | cl_drd())


def cl_drd() -> dict:
  """The iterations, each from the student of the one before."""
  # (sizes, depths): how many passages of a group, and to which rank they are
  # drawn from. The official files have (5, 12, 13), (10, 10, 10) and (30,);
  # the ranks that their groups came from are not published.
  groups = (
    ((3, 3, 3), (3, 8, 15)),
    ((5, 2, 2), (5, 10, 15)),
    ((9,), (9,)),
  )
  # Iterations 2 and 3 have 3/7 of the first one's rate in the official code,
  # 7e-6 and 3e-6; the student here has seen less and gets more.
  rates = (5e-5, 2e-5, 2e-5)
  stages, init = {}, "student_warm"
  for number, ((sizes, depths), rate) in enumerate(
    zip(groups, rates, strict=True), 1
  ):
    name = f"cl_drd_{number}"
    stages |= baselines.taught(
      name,
      method="cl_drd",
      scores=baselines.SCORES,
      init=init,
      negatives=sum(sizes) - 1,
      sampling="groups",
      sampling_settings=dict(sizes=sizes, depths=depths),
      settings=dict(labels=(-0.25, -0.5)),  # official code
      learning_rate=rate,
      steps=12,
      warmup_steps=2,
      weight_decay=0.01,  # official code
      clip=1.0,  # official code
    )
    init = name
  return stages
