"""HTTP in and out."""

from services.ratings.router import (
    appeals,
    invitations,
    publication,
    ratings,
    statistics,
    tickets,
    tokens,
)

parts = (
    ratings.router,
    invitations.router,
    tokens.router,
    tickets.own,
    tickets.router,
    appeals.router,
    statistics.router,
    publication.router,
)
"""Below `/api/v1/ratings`; what is asked most stands first."""
