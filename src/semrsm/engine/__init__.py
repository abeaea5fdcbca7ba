"""Where tiles of pairs run, and what that takes: plans, threads, the GPU, forecasts."""
