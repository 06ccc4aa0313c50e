"""Alembic environment of cases."""

from shared.database.migrations import run_env

run_env("cases")
