"""From parameters to trained ones, for any loss: no method is known here.

state       what a step reads and replaces
step        one step as a pure function, and as a program on a mesh
optim       AdamW with warm-up, decay and clipping
loop        the steps of a stage, their checkpoints and log lines
checkpoint  states on disk, by Orbax
writer      metrics as JSON lines
kept        a batch that came to no finite number, on disk
nonfinite   where in a function the first such value arises
"""
