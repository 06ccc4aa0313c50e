"""Alembic environment of matters."""

from services.matters.model import Base
from shared.ground import Ground
from shared.migrations import run_env

run_env(Base.metadata, Ground.metadata)
