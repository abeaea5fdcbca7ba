"""Where tiles of pairs run: plans, memory, threads, the GPU, forecasts."""
