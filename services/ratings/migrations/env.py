"""Alembic environment of ratings."""

from services.ratings.model import Base
from shared.ground import Ground
from shared.migrations import run_env

run_env(Base.metadata, Ground.metadata)
