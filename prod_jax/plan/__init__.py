"""What a config's stages would take of a TPU slice, or of this machine.

The slice need not be there: a compiler is asked. Here some steps are run.

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
sample     texts of the data set that stand for all
clock      how long a few steps take on this machine
here       all of it as one row a stage
bill       rows of this machine for people, and what all of it costs
"""
