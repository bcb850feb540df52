"""Bad inputs of every kind that a user can bring, and what is said of them.

row          what a bad input is, and how its command is run
table        all of them, by room
made         good inputs, of which bad ones are made
experiment   the config that they are tried with
configs      config files, keys, types, ranges, unions, meshes
lines        command lines, and what they name
layouts      folders in the MS MARCO layout
judgements   their qrels
beir         folders in BEIR's form
published    MS MARCO, its documents and NQ as published
bare         queries without labels, generated ones, negatives of one's own
tokenizers   folders of tokenizers
models       folders of an encoder
modules      what lies around it: pooling, heads, projections
scores       score files and lists from elsewhere
runs         TREC runs
workdirs     what runs have left
outputs      what is made of that
"""
