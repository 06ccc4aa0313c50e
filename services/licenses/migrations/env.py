"""Alembic environment of licenses."""

from shared.database.migrations import run_env

run_env("licenses")
