"""What the worker deletes from platform tables."""

from sqlalchemy import text

PRUNE = text("DELETE FROM idempotency WHERE created_at < now() - interval '7 days'")
