"""Commands besides that of `main`; each prints its result.

arguments   a config and its overrides, as every command takes them
prepare     data and tokens, made ahead of a run
plan        what a run would take of a TPU slice
lists       lists and scores for another trainer
report      figures of runs as Markdown
distilbert  DistilBERT's weights as those of a BERT
"""
