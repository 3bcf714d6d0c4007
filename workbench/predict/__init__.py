"""What will happen: the scheduler itself under a virtual clock, and what no schedule can beat.

simulate   drives `core.decide` and `core.evolve` into the future of a copied state
bounds     lower bounds of the makespan: critical path, work over capacity, head and tail
forecast   the prediction that the engine journals
"""
