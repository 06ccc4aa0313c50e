"""Benchmarks: one command per row of the targets.

Each makes its own data and is compared with a baseline that is measured in the same run.
"""
