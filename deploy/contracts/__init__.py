"""Contracts against those of the newest release: what would break a client or a consumer."""
