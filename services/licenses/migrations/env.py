"""Alembic environment of licenses."""

from services.licenses.model import Base
from shared.ground import Ground
from shared.migrations import run_env

run_env(Base.metadata, Ground.metadata)
