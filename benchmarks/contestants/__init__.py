"""The contestants of `benchmarks.compare`: one script for each library, run in that library's interpreter."""
