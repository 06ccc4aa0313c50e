"""Alembic environment of exchange."""

from shared.database.migrations import run_env

run_env("exchange")
