"""PostgreSQL: sessions, direct statements, platform tables and migrations.

Also the audit trail, idempotency and guess limits.
"""
