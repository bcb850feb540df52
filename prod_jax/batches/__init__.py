"""From texts and lists to the batches that a step learns from; no jax.

settings  what the files beside a tokenizer say of it
classes   what its class in transformers makes of them
special   what a tokenizer puts around a text and between its parts
tokens    the tokenizer, and a data set tokenised once
store     rows of token ids of unequal length, on disk
lists     candidate lists, and what other stages know of them, on disk
foreign   lists and scores of a file of another tool's
draws     which columns of a list a query gets
choose    which texts a batch is made of
assemble  these texts, read and joined to a batch
rows      a text with its special tokens, cut and padded
packing   several texts in a row
loader    an endless, repeatable row of batches
dark      passages between a positive and a negative, made of both
"""
