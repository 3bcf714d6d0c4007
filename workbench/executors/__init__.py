"""Where attempts run. `port` is the contract; `dask` the real thing, `fake` a cluster in memory for tests."""
