"""HTTP in and out of identity."""

from services.identity.router import (
    account,
    development,
    keys,
    mandates,
    organisations,
    sessions,
    sign_in,
    staff,
    systems,
)
from services.identity.router.internal import router as internal

__all__ = ["internal", "parts"]

# Most requested first: routes are matched in this order.
parts = [
    sign_in.router,
    sessions.router,
    account.router,
    organisations.router,
    mandates.router,
    staff.router,
    systems.router,
    keys.router,
    development.router,
]
"""Below `/api/v1/identity`."""
