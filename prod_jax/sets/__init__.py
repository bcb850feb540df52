"""Retrieval sets as text: passages, queries and labels; no tokens, no jax.

records     what a set is made of: a passage, a query, an error
named       the set that a config names
dataset     a prepared set, opened: passages by row, queries by split
said        what is said of a set as it is opened
datasets    one builder a published set
passages    the prepared collection by row, whole or a part of it
negatives   the negatives that came with a set
foreign     scores and lists as other tools write them
queries     the prepared queries by split, all or a part of them
unlabelled  training queries without labels
generated   training queries that a generator made of passages
copies      which passages say the same as a labelled one
answers     whether a passage contains an answer
sizes       how large the sets are, by their authors
lines       lines of files, plain, compressed or in an archive, and faults
formats     what the lines of the MS MARCO layout mean
json_list   long JSON lists, an item at a time
collection  a file of passages in shards, each read on its own
ids         names of passages to rows and back, as tables on disk
titles      titles that lie in a file of their own
files       where in a folder a set's files are
mistaken    what a folder was perhaps meant as
download    files from their publishers, resumed and checked
parallel    work on many pieces, in several processes
"""
