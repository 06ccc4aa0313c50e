"""Alembic environment of identity."""

from shared.database.migrations import run_env

run_env("identity")
