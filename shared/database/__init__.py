"""PostgreSQL: sessions, direct statements, platform tables, migrations, audit trail, idempotency, guess limits."""
