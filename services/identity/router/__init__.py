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

parts = [
    part.router
    for part in (
        sign_in,
        sessions,
        account,
        organisations,
        mandates,
        staff,
        systems,
        keys,
        development,
    )
]
"""Below `/api/v1/identity`; what is asked most stands first."""
