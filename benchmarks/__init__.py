"""Benchmarks: `pytest benchmarks` measures pynn, `python -m benchmarks.compare` puts it beside the libraries that are installed."""
