"""Signed batches of records, with receipts and verdicts."""
