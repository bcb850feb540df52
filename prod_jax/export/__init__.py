"""A trained model out of its run: folders, and what is said of them.

Nothing here trains. A finished train stage is found in its working folder and
becomes a folder that other software loads.

finished    a train stage that has run, found with its model
whole       the whole export, in order
folder      the folder that sentence-transformers and transformers load
tokenizer   tokenizer files as transformers reads them
card        README.md: what the model is, and how it is used
snippets    the code in it
lineage     stages, teachers and data behind a model, and their hashes
"""
