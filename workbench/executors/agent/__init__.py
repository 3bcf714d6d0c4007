"""What lives inside a worker: the agent, its keeper and children, and the messages that it shares with the engine.

`wire` are the messages, `link` carries them. `agent` runs attempts; `keeper` forks, reaps and kills; `child` runs
functions; `plugin` installs the agent in a Dask worker. Only `plugin` imports Dask, and nothing here is imported
by the model or the core.
"""
