"""Alembic environment of matters."""

from shared.database.migrations import run_env

run_env("matters")
