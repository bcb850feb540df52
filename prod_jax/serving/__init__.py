"""A trained model at work: passages for a query that somebody types.

Nothing here trains or measures. A run in its folder, or models and a set,
become systems that answer one query in milliseconds, for a terminal, for
programs and for a page.

listed     the systems of a run, or of a command line, not opened yet
queries    a query as tokens and as a vector, by programs of few shapes
searchers  what finds passages for one query
vectors    vectors of a collection that no stage has made, kept
words      the words of a query in a text
opened     what a command line names, as a library
library    a collection with its systems, which answers
app        the same for HTTP: the page, and JSON
server     a process that serves it
"""
