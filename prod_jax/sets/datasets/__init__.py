"""TFDS builders, one a published set, and what they share.

published         where a set's texts are, and how they are read
own               negatives of a user's, beside a set's files
layout            how passages and queries then lie on disk
folder            any set in the MS MARCO layout
beir              any set in BEIR's form
msmarco_passage   MS MARCO passages, with TREC Deep Learning
msmarco_document  MS MARCO documents, with TREC Deep Learning
nq                Natural Questions in the form of DPR
pydocs            docstrings of the installed packages
"""
