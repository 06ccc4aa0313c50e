"""Benchmarks: one command per row of the targets, each with its own data, each against a baseline of the same run."""
