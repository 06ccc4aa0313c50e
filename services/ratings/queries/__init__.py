"""Every SELECT, one file per resource."""

from services.ratings.queries.calendar import get_calendar
from services.ratings.queries.invitations import (
    find_by_visit,
    find_of_account,
    find_of_case,
    get_invitation,
    list_invitations,
    list_locked,
    list_of_case,
    list_of_cases,
    list_unsent,
    lock_invitation,
)
from services.ratings.queries.ratings import find_rating_of, get_rating, list_mine, list_ratings_of, list_suspect
from services.ratings.queries.tokens import (
    find_key,
    find_redemption,
    get_batch,
    list_batches,
    list_batches_by_id,
    list_keys,
    list_messages,
    list_redemptions,
)

__all__ = [
    "find_by_visit",
    "find_key",
    "find_of_account",
    "find_of_case",
    "find_rating_of",
    "find_redemption",
    "get_batch",
    "get_calendar",
    "get_invitation",
    "get_rating",
    "list_batches",
    "list_batches_by_id",
    "list_invitations",
    "list_keys",
    "list_locked",
    "list_messages",
    "list_mine",
    "list_of_case",
    "list_of_cases",
    "list_ratings_of",
    "list_redemptions",
    "list_suspect",
    "list_unsent",
    "lock_invitation",
]
