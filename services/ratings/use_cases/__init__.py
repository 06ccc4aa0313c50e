"""What the service can do: one function per verb, one file per resource."""

from services.ratings.use_cases.batches import download_batch, order_batch
from services.ratings.use_cases.calendar import change_days
from services.ratings.use_cases.credentials import (
    Rater,
    forget_tries,
    prove_case,
)
from services.ratings.use_cases.invite import invite_applicants
from services.ratings.use_cases.keys import list_keys, rotate_keys, token_of
from services.ratings.use_cases.rate import Owner, submit_rating
from services.ratings.use_cases.records import take_records
from services.ratings.use_cases.show import Offer, show_offer
from services.ratings.use_cases.sms import DevelopmentSender, SmsSender, link, send_invitations
from services.ratings.use_cases.supplement import own_words, supplement_rating
from services.ratings.use_cases.visits import (
    forget_uses,
    invite_visit,
    record_shown,
    show_code,
)

__all__ = [
    "DevelopmentSender",
    "Offer",
    "Owner",
    "Rater",
    "SmsSender",
    "change_days",
    "download_batch",
    "forget_tries",
    "forget_uses",
    "invite_applicants",
    "invite_visit",
    "link",
    "list_keys",
    "order_batch",
    "own_words",
    "prove_case",
    "record_shown",
    "rotate_keys",
    "send_invitations",
    "show_code",
    "show_offer",
    "submit_rating",
    "supplement_rating",
    "take_records",
    "token_of",
]
