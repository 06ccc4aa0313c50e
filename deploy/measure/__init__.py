"""The figures of the code base: `python -m deploy.measure`."""
