"""Measures what the package promises: `python -m benchmarks [NAME ...] [--quick]`."""
