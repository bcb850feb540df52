"""Scores and lists as other tools write them, read and written.

TREC runs, columns of query id, passage id and score, JSON lines and parquet of
the same, and the JSON lines of sentence-transformers, Tevatron and
FlagEmbedding that hold a query with its positives and negatives.

layout   which of these a file is, and where its columns are
records  what a JSON object or a row of a table says
read     a file as rows of queries and passages with scores, in parallel
names    ids and texts to rows, by tables on disk
scale    how a teacher's scores are spread, and what they may be
write    candidate lists as such files
"""
