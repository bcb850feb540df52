"""Where a run stands, from its working folder alone, while it runs and after.

look   stages and their states, read
why    why a stage would run again
left   how long the rest takes
said   all of it as text, and as JSON
"""
