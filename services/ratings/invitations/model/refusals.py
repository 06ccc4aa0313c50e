"""Why a rating is refused, each reason with its own code."""

from shared.errors import ConflictError, ForbiddenError


class TokenForgedError(ForbiddenError):
    """Not signed by this platform, or changed on the way."""

    code, title = "token_forged", "This code is not one of ours"


class TokenForeignError(ForbiddenError):
    """Ours, and for something else than what is asked with it."""

    code, title = "token_foreign", "This code belongs to something else"


class TokenExpiredError(ConflictError):
    """The time to rate is over."""

    code, title = "token_expired", "The time for this rating is over"


class AlreadyRatedError(ConflictError):
    """一事一评: rated before with another content; only words can be added (追加)."""

    code, title = "already_rated", "This service has been rated"


class CodeUsedUpError(ConflictError):
    """A window's code, or a phone at this window, has served as often as it may for now."""

    code, title = "code_used_up", "This code has been used"


class StaffCannotRateError(ForbiddenError):
    """Whoever works for the platform or a bureau judges nobody's service (norms §1.6)."""

    code, title = "staff_cannot_rate", "Staff and systems cannot rate"


class WrongDigitsError(ForbiddenError):
    """The caller could not say the last digits of the applicant's phone."""

    code = "wrong_digits"
