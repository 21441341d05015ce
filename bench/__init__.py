"""Benchmarks: one file each, baselines and units beside us in the same run. `results/` holds the committed full runs."""
