"""What cases can do."""

from services.cases.use_cases.acts import (
    accept_case,
    correct_case,
    decide_case,
    deliver_case,
    extend_case,
    refuse_acceptance,
    request_correction,
    resume_case,
    return_case,
    review_case,
    supply_materials,
    suspend_case,
    withdraw_case,
)
from services.cases.use_cases.apply import apply_for, close_copy, copy_matter, store_upload
from services.cases.use_cases.bundles import apply_for_bundle, copy_bundle
from services.cases.use_cases.calendar import change_days, follow_change, list_unfinished
from services.cases.use_cases.licenses import follow_licenses
from services.cases.use_cases.lights import Settled, answer_light, settle_due
from services.cases.use_cases.matches import match_licenses
from services.cases.use_cases.numbers import Numbers
from services.cases.use_cases.push import judge_chunk, push_cases
from services.cases.use_cases.timers import deem_accepted
from services.cases.use_cases.track import forget_tries, track_case

__all__ = [
    "Numbers",
    "Settled",
    "accept_case",
    "answer_light",
    "apply_for",
    "apply_for_bundle",
    "change_days",
    "close_copy",
    "copy_bundle",
    "copy_matter",
    "correct_case",
    "decide_case",
    "deem_accepted",
    "deliver_case",
    "extend_case",
    "follow_change",
    "follow_licenses",
    "forget_tries",
    "judge_chunk",
    "list_unfinished",
    "match_licenses",
    "push_cases",
    "refuse_acceptance",
    "request_correction",
    "resume_case",
    "return_case",
    "review_case",
    "settle_due",
    "store_upload",
    "supply_materials",
    "suspend_case",
    "track_case",
    "withdraw_case",
]
