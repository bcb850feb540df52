"""What a config's stages would take of a TPU slice, without the slice.

chips      what a chip can do, by its maker
shapes     a config whose weights and data are elsewhere
batches    the shape of a training batch, without data
program    what a stage runs again and again
training   of train stages
forward    of stages that run a frozen model
programs   of a whole config
analytic   the FLOPs that a model needs
compiled   what the compiler makes of a program
hlo        the compiler's text, parsed
cost       matmuls, collectives and traffic that stand in it
search     the largest batch that fits
estimate   all of it as one row a stage and slice
table      rows for people
"""
