"""Stage kind `cluster`: queries that ask for similar things, by k-means.

Leaves `clusters.npy`, int32 [Q], the cluster of each row of the query table.
"""

import warnings
from typing import Any

import numpy as np
from scipy.cluster import vq

from prod_jax import arrays, kinds, progress, strict
from prod_jax.stages.run import Job


def fingerprint(job: Job[kinds.Cluster]) -> dict[str, Any]:
  """What the result depends on besides this stage's config and inputs."""
  return {"seed": job.seed}


def check(job: Job[kinds.Cluster]) -> None:
  """Raises ConfigError when the queries of its split are not encoded."""
  job.check_encoded("train")


def run(job: Job[kinds.Cluster]) -> dict[str, Any]:
  """Clusters the query embeddings.

  Raises:
    ConfigError: with more clusters than queries.
  """
  # k-means is not divided; the others wait where the stage ends.
  if not job.run.processes.first:
    return {}
  clusters = job.stage.clusters
  path = job.inputs["encoded"] / "queries-train.npy"
  query_QD = arrays.read(path)
  if not 1 <= clusters <= len(query_QD):
    raise strict.ConfigError(
      f"{job.where}.clusters is {clusters}, and there are {len(query_QD)} "
      "training queries"
    )
  # One by one: it is seen how many there have been, and a run can be stopped.
  # The first means are queries: to choose them, k-means++ takes quadratic time.
  means: Any = clusters
  for i in progress.shown(
    range(job.stage.iterations),
    job.name,
    "iterations",
    job.stage.iterations,
    only_long=True,
  ):
    job.run.processes.leave_if_stopped(
      f"while {job.name} clusters; it begins again"
    )
    with warnings.catch_warnings():
      # Empty clusters are counted below.
      warnings.simplefilter("ignore", UserWarning)
      means, cluster_Q = vq.kmeans2(
        query_QD,
        means,
        iter=1,
        minit="matrix" if i else "points",
        rng=np.random.default_rng(job.seed),
      )
  np.save(job.folder / "clusters.npy", cluster_Q.astype(np.int32))
  sizes = np.bincount(cluster_Q, minlength=clusters)
  return {
    "clusters": clusters,
    "empty": int((sizes == 0).sum()),
    "largest": int(sizes.max()),
  }
