"""What identity can do: keys, sign-in and sessions, accounts of persons, organisations, staff and systems."""

from services.identity.use_cases.accounts import (
    change_staff,
    create_administrator,
    create_staff,
    depart_staff,
    verify_at_counter,
    verify_identity,
)
from services.identity.use_cases.keys import ensure_keys, list_keys, rotate_keys
from services.identity.use_cases.mandates import accept_mandate, act_under_mandate, grant_mandate, revoke_mandate
from services.identity.use_cases.organisations import (
    act_for_organisation,
    leave_organisation,
    register_organisation,
)
from services.identity.use_cases.prune import prune
from services.identity.use_cases.sessions import end_session, end_sessions, refresh_session
from services.identity.use_cases.sign_in import (
    bind_mini_program,
    sign_in_by_mini_program,
    sign_in_by_password,
    sign_in_by_sms,
)
from services.identity.use_cases.sms import send_sms_code
from services.identity.use_cases.systems import register_system, sign_in_system, withdraw_system

__all__ = [
    "accept_mandate",
    "act_for_organisation",
    "act_under_mandate",
    "bind_mini_program",
    "change_staff",
    "create_administrator",
    "create_staff",
    "depart_staff",
    "end_session",
    "end_sessions",
    "ensure_keys",
    "grant_mandate",
    "leave_organisation",
    "list_keys",
    "prune",
    "refresh_session",
    "register_organisation",
    "register_system",
    "revoke_mandate",
    "rotate_keys",
    "send_sms_code",
    "sign_in_by_mini_program",
    "sign_in_by_password",
    "sign_in_by_sms",
    "sign_in_system",
    "verify_at_counter",
    "verify_identity",
    "withdraw_system",
]
