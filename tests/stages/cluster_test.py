"""Clusters: k-means of scipy, an iteration at a time."""

import numpy as np
import pytest
from scipy.cluster import vq

from prod_jax import config, kinds
from prod_jax.processes import Processes
from prod_jax.stages import cluster
from prod_jax.stages.run import Job, Run


@pytest.mark.parametrize("clusters", [1, 5, 40])
def test_iterations_one_by_one_are_those_of_one_call(
  tmp_path, recwarn, clusters
):
  """Also where some clusters are left empty, which nobody warns of."""
  query_QD = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
  query_QD[30:] = query_QD[:30]
  np.save(tmp_path / "queries-train.npy", query_QD)
  stage = kinds.Cluster("cluster", "encoded", clusters, iterations=6)
  run = Run(
    config.Config(7, config.Data(), config.Mesh(), {}, {"own": stage}),
    Processes(tmp_path),
  )
  job = Job(run, "own", stage, {"encoded": tmp_path}, tmp_path)
  summary = cluster.run(job)
  assert not [w for w in recwarn if "empty" in str(w.message)]
  _, wanted = vq.kmeans2(
    query_QD,
    clusters,
    iter=6,
    minit="points",
    rng=np.random.default_rng(job.seed),
  )
  np.testing.assert_array_equal(np.load(tmp_path / "clusters.npy"), wanted)
  assert summary["empty"] == clusters - len({*wanted.tolist()})
