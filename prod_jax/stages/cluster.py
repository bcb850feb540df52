"""Stage kind `cluster`: queries that ask for similar things, by k-means.

Leaves `clusters.npy`, int32 [Q], the cluster of each row of the query table.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.cluster import vq

from prod_jax import kinds, strict
from prod_jax.stages.inputs import Inputs


def inputs(stage: kinds.Cluster) -> dict[str, str]:
  """The stages that this one reads, by role."""
  return {"encoded": stage.encoded}


def fingerprint(shared: Inputs, name: str, stage: kinds.Cluster) -> dict:
  """What the result depends on besides this stage's config and inputs."""
  return {"seed": shared.seed(name)}


def check(shared: Inputs, name: str, stage: kinds.Cluster) -> None:
  """Raises ConfigError when the queries of its split are not encoded."""
  shared.check_encoded(name, stage.encoded, "train")


def run(
  shared: Inputs,
  name: str,
  stage: kinds.Cluster,
  read: Mapping[str, pathlib.Path],
  folder: pathlib.Path,
) -> dict[str, Any]:
  """Clusters the query embeddings.

  Raises:
    ConfigError: with more clusters than queries.
  """
  if not shared.group.first:
    return {}
  path = read["encoded"] / "queries-train.npy"
  query_QD = np.load(path, allow_pickle=False)
  if not 1 <= stage.clusters <= len(query_QD):
    raise strict.ConfigError(
      f"config.stages.{name}.clusters is {stage.clusters}, and there are "
      f"{len(query_QD)} training queries"
    )
  _, cluster_Q = vq.kmeans2(
    query_QD,
    stage.clusters,
    iter=stage.iterations,
    minit="++",
    rng=np.random.default_rng(shared.seed(name)),
  )
  np.save(folder / "clusters.npy", cluster_Q.astype(np.int32))
  sizes = np.bincount(cluster_Q, minlength=stage.clusters)
  return {
    "clusters": stage.clusters,
    "empty": int((sizes == 0).sum()),
    "largest": int(sizes.max()),
  }
