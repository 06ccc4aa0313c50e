"""Alembic environment of ratings."""

from shared.database.migrations import run_env

run_env("ratings")
