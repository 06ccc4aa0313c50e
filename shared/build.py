"""What this code is."""

VERSION = "0.1.0"
"""The version in `pyproject.toml`, which images do not hold; a test compares the two."""
