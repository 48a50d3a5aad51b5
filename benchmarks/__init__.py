"""Measurements that docs/RESULTS.md quotes; `python -m benchmarks`, or `make bench`."""
