"""Alembic environment of assessment."""

from shared.database.migrations import run_env

run_env("assessment")
