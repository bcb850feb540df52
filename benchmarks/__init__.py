"""prod_jax and its peers at the same work, side by side.

`python -m benchmarks.run` measures and writes results.json, `python -m
benchmarks.page` makes the tables of docs/BENCHMARKS_TABLES.md of it. A file a
piece of work; all calls into prod_jax are in ours.py and ours_train.py, all
into sentence-transformers in peer.py. house.py is apart from these: it counts
sizes and signatures of the code; and so is families.py, which measures how far
numbers are from torch's and writes docs/FAMILIES.md. `python -m
benchmarks.long` looks at memory, handles and threads of long and large runs.
"""
