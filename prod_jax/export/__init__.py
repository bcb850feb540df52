"""A trained model out of its run: folders, vectors, and what is said of them.

Nothing here trains. A finished train stage is found in its working folder and
becomes a folder that other software loads, or ranks another set.

finished    a run found in its folder, and a train stage with its model
whole       the whole export, in order
folder      the folder that sentence-transformers and transformers load
tokenizer   tokenizer files as transformers reads them
graph       an encoder as an ONNX graph
runtime     a graph as onnxruntime runs it
quality     what each form of a model is worth on held-out queries
card        README.md: what the model is, and how it is used
snippets    the code in it
lineage     stages, teachers and data behind a model, and their hashes
hub         an export sent to a hub
task        a set that systems are to rank
named       rankers as a command line names them
systems     any ranker, ranking a set
rankings    what it found: read from a run, measured, written
as_it_is    a model as it is, in a folder or on a hub
texts       texts to embed, from a file
vectors     a file of texts to a file of vectors
lists       lists and scores of a stage, for another trainer
"""
