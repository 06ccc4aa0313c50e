"""How invitations and codes are shown."""

import io

import segno

from services.ratings.invitations.model.invitation import Invitation
from services.ratings.invitations.schemas import InvitationRead


def read_invitation(invitation: Invitation) -> InvitationRead:
    return InvitationRead.model_validate(invitation)


def qr_svg(text: str) -> str:
    """The text as a QR code, one SVG element."""
    out = io.BytesIO()
    segno.make(text, error="m").save(out, kind="svg", scale=4, xmldecl=False)
    return out.getvalue().decode()
