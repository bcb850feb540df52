"""Faults put into runs of a small curriculum, and what came of each.

    python -m tests.chaos             (make chaos)

After one run that nothing disturbs, each trial puts one fault into a copy of
it and gives the command again. It passes where all results are the same to the
last bit, or where one line says what is wrong and what to do.

curriculum   a stage of every kind, as a config of prod_jax
material     the set, vocabulary and scores that it reads
commands     commands in forks of a process that has imported everything
files        a fault at the k-th operation on files
stored       a fault at the k-th call of a bucket
pair         a run of two processes, one of which is killed
damage       what becomes of files of a finished or an unfinished run
judge        whether a working folder holds what the undisturbed one does
trials       which faults there are, and what a trial does
report       lines of trials, and faults.json
page         docs/RELIABILITY.md, of all JSON in benchmarks/reliability
"""
