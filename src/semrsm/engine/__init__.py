"""Where tiles of pairs run, and at which cost: plans, threads, the GPU, forecasts."""
