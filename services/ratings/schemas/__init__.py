"""Commands and answers, one file per resource."""

from services.ratings.schemas.base import CaseNumber, Phone, Place
from services.ratings.schemas.invitation import (
    BatchRead,
    BatchTokens,
    InvitationRead,
    InvitationShown,
    InviteVisit,
    JwkSet,
    OrderBatch,
    SentMessage,
    VisitInvited,
    WindowCode,
)
from services.ratings.schemas.rating import (
    RatingRead,
    RatingRecord,
    Said,
    SubmitRating,
    SupplementRating,
    TagDictionary,
    Token,
)

__all__ = [
    "BatchRead",
    "BatchTokens",
    "CaseNumber",
    "InvitationRead",
    "InvitationShown",
    "InviteVisit",
    "JwkSet",
    "OrderBatch",
    "Phone",
    "Place",
    "RatingRead",
    "RatingRecord",
    "Said",
    "SentMessage",
    "SubmitRating",
    "SupplementRating",
    "TagDictionary",
    "Token",
    "VisitInvited",
    "WindowCode",
]
