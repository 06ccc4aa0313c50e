"""Alembic environment of cases."""

from services.cases.model import Base
from shared.ground import Ground
from shared.migrations import run_env

run_env(Base.metadata, Ground.metadata)
