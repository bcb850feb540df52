"""Files of any bytes before each of our readers.

A reader gives a value, or one of our own errors that names the file. Tests try
bytes that hypothesis makes. `python -m tests.fuzz` lets libFuzzer look for
those that reach more of the code, and `cases/` keeps what it has found.

reader     what a reader is, and what may come of it
of_sets    readers of texts, labels, scores and lists
of_models  readers of a model's folder
of_runs    readers of what a run has left, and of a command line
readers    all of them
"""
