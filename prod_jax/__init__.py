"""Progressive distillation for dense retrieval, in JAX on TPUs.

main          the command: the stages of a config, run or shown
cli           the other commands
export        a trained model out of its run, for other software
serving       the same at work: passages for a query that somebody types
curriculum    order of stages, artefacts, hashes, DONE files, resume
stages        what a stage does: one module a kind
plan          what a config would take of a TPU slice, or of this machine
report        a run for human eyes
status        where a run stands, from its folder alone
methods       what a student learns from: one module a paper
train         from one state to the next, and a stage of that
retrieval     parameters and a collection to embeddings, lists and scores
models        encoders, as pure functions of their parameters
losses        scores to one number a query
batches       tokens and lists to batches
sets          text: collections, queries and labels
batch         what a batch holds, and the letters of its axes
config        the sections of a config
kinds         the kinds of stage that a config can name
list_kinds    those of them that are about lists
model_kinds   the kinds of model, the same
config_file   config files and overrides, read into these
ranges        what a number of a config may be
strict        mappings to dataclasses, with the key that was meant
metrics       ranked passages and judgements to figures
significance  whether two rankers differ on the same queries
sharding      the mesh, and where each array lies on it
per_device    what each device does with its own rows and heads
processes     those of a run: where they meet, when they stop
coordination  keys, values and beats between them
artefacts     what a stage left, and whether it is still that
storage       a working folder on a disk or in a bucket; files whole or absent
json_files    JSON that may be damaged, and the shape it should have
run_files     what a run says of itself: stages, results, metrics, read
arrays        .npy files, read
forecast      what a run was expected to take, beside it
presence      who is at work in a working folder: one run at a time
locks         one process at a time makes what others would make, too
progress      how far long work has come, on a terminal or in the log
ragged        lines of unlike length as one array
memory        what was freed, given back; what was imported, left alone
compilation   compiled programs, kept on disk
profiling     some steps of a stage under JAX's profiler
trackers      TensorBoard and Weights & Biases, which look on
origin        commit, versions and processor of this process
packaged      files that came with an installed package
parts         a zip that came in several files, unpacked
"""
