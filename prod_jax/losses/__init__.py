"""Arrays to one number a query, and scores that losses are made of.

contrastive  cross-entropy with the labels
listwise     distances of two distributions over a list
pairwise     differences of scores, without a softmax
preference   the order of two candidates at a time
hidden       what models have inside: layers and embeddings
max_sim      scores of late interaction
"""
