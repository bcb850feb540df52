"""A run for human eyes: tables, and one HTML page with figures and examples.

It reads what the stages left in a workdir and changes none of it.
"""

from prod_jax.report.page import write_page
from prod_jax.report.tables import table, write_results_markdown

__all__ = ["table", "write_page", "write_results_markdown"]
