"""What identity can do: keys, sign-in and sessions, accounts."""

from services.identity.use_cases.accounts import (
    change_staff,
    create_staff,
    depart_staff,
    register_system,
    verify_identity,
)
from services.identity.use_cases.keys import ensure_keys, list_keys, rotate_keys
from services.identity.use_cases.sessions import (
    end_session,
    refresh_session,
    send_sms_code,
    sign_in_by_password,
    sign_in_by_sms,
    sign_in_system,
)

__all__ = [
    "change_staff",
    "create_staff",
    "depart_staff",
    "end_session",
    "ensure_keys",
    "list_keys",
    "refresh_session",
    "register_system",
    "rotate_keys",
    "send_sms_code",
    "sign_in_by_password",
    "sign_in_by_sms",
    "sign_in_system",
    "verify_identity",
]
