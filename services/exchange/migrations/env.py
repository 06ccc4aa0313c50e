"""Alembic environment of exchange."""

from services.exchange.model import Base
from shared.ground import Ground
from shared.migrations import run_env

run_env(Base.metadata, Ground.metadata)
