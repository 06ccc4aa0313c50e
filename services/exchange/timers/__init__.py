"""Time in: webhooks that are due, and the push to the region with its reconciliations."""
