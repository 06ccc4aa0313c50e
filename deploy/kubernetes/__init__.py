"""The chart, tried with Helm, with the schemas and on a real API server."""
