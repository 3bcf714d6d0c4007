"""What will happen: the scheduler itself under a virtual clock, and what no schedule can beat.

simulate   drives `core.decide` and `core.evolve` into the future of a copied state
bounds     lower bounds of the makespan: critical path, work over capacity, head and tail
forecast   the prediction that the engine journals: quantiles over sampled futures
durations  how long tasks take, from evidence (what tasks show), learning (means and spreads), and laws
score      how good forecasts were
whatif     what an edit would do; outlook: one future, its band and what it uses; remaining: the bound of what is left
courtesy   who looks ahead in the background gives way to who waits for an answer
prediction a whole campaign predicted, as `workbench predict` shows it; counting: edges and depth between tasks
"""
