"""A run for human eyes: tables, and one HTML page with figures and examples.

It reads what the stages left in a workdir and changes none of it.

record    what a run left, read
tables    its figures as rows, for a terminal and for Markdown
page      the HTML page
comparison  runs held against each other, stage by stage and query by query
comparison_page  the same as an HTML page
following  what may be done with a run next, as commands
figures   the page's sections with charts
drawings  figures as files of their own
examples  the page's queries, answered by the first and the last student
expected  what was expected to be taken, beside what was
gains     what each stage has gained over where it began
changes   what changes from ranker to ranker, query by query
origins   what the stages were run with, and where they differ in it
scores    what a teacher and the miner before it thought of the same lists
scorecards  what teachers' scores were like before they were learnt from
picture   the curriculum drawn
lineage   what it is drawn of: stages, and what feeds what
plots     charts
axes      the frame of a chart
elements  what pages are made of: document, tables
markup    HTML and SVG as values
style     the style sheet
"""

from prod_jax.report.page import write_page
from prod_jax.report.tables import table, write_results_markdown

__all__ = ["table", "write_page", "write_results_markdown"]
