"""The executor on Dask: a cluster that provides workers, a hub that their agents dial, and the port to the engine.

Nothing outside this package and `executors.agent.plugin` imports Dask.
"""
