"""What cases can do."""

from services.cases.use_cases.acts import (
    accept_case,
    correct_case,
    decide_case,
    deliver_case,
    refuse_acceptance,
    request_correction,
    return_case,
    review_case,
    withdraw_case,
)
from services.cases.use_cases.apply import apply_for, close_copy, copy_matter, store_upload
from services.cases.use_cases.push import push_cases
from services.cases.use_cases.timers import deem_accepted
from services.cases.use_cases.track import track_case

__all__ = [
    "accept_case",
    "apply_for",
    "close_copy",
    "copy_matter",
    "correct_case",
    "decide_case",
    "deem_accepted",
    "deliver_case",
    "push_cases",
    "refuse_acceptance",
    "request_correction",
    "return_case",
    "review_case",
    "store_upload",
    "track_case",
    "withdraw_case",
]
