"""Rankings: frozen models over all texts, and search among their vectors.

forward    a frozen model over many texts, in batches
blocks     long work in blocks that survive a kill
pieces     what is done of a block, shown by batch and kept
encode     texts to vectors, in shards that are memory-mapped
index      what an index is given and what it gives back
search     the kinds of index, and ScaNN
exact      exact search, round by round
shortlist  the rows that may be among the best of a block of queries
tiles      products of queries and rows, on the device
rerank     candidates scored by a model that reads them with their query
bm25       words against words, by a library
pairs      which pairs of a ranking a pairwise model is asked about
divide     which queries PROD's last stage keeps
filter     where rankers have what a generated query was made of
denoise    which unlabelled passages a teacher takes for positives
scores     what scores of lists are like, and how two judges agree
runs       rankings as TREC files
"""
