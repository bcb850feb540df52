"""A trained model out of its run: folders, vectors, and what is said of them.

Nothing here trains. A finished train stage is found in its working folder and
becomes a folder that other software loads.

finished    a train stage that has run, found with its model
folder      the folder that sentence-transformers and transformers load
tokenizer   tokenizer files as transformers reads them
"""
