"""Texts of errors in the reader's language, from gettext catalogues.

English stands in the code and is the message id; the context is the problem's `code` or the
field's `rule`. Chinese is the default. Tibetan is shown where it exists, and unreviewed Tibetan
only where the city's setting says so. `python -m deploy.texts` keeps the catalogues.
"""

import gettext
from collections.abc import Mapping
from functools import cache
from pathlib import Path

LOCALE = Path(__file__).parent / "locale"
DEFAULT_LANGUAGE = "zh"
LANGUAGES = ("zh", "en", "bo")
DOMAIN = "tongban"
REVIEWED_DOMAIN = "tongban-reviewed"
"""Domain of the catalogue that holds only texts approved by a native reader."""


@cache
def _catalogue(language: str, domain: str) -> gettext.NullTranslations:
    return gettext.translation(domain, LOCALE, [language], fallback=True)


def choose_language(accept_language: str) -> str:
    """The first of our languages that the header `Accept-Language` prefers; else Chinese."""
    wishes: list[tuple[float, str]] = []
    for part in accept_language[:200].split(","):
        tag, _, parameter = part.strip().partition(";")
        language = tag.strip().lower().split("-")[0]
        if language not in LANGUAGES:
            continue
        quality = parameter.strip().removeprefix("q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            continue
        if weight > 0:
            wishes.append((-weight, language))
    wishes.sort(key=lambda wish: wish[0])
    return wishes[0][1] if wishes else DEFAULT_LANGUAGE


def translate(context: str, message: str, *, language: str, unreviewed: bool = False) -> str:
    """The template `message` in `language`, with its placeholders; English where there is none.

    `context` is the code or rule that the message belongs to. A Tibetan text that is missing, or
    not reviewed while `unreviewed` is false, is replaced by the Chinese one.
    """
    if language == "en":
        return message
    if language == "bo":
        domain = DOMAIN if unreviewed else REVIEWED_DOMAIN
        found = _catalogue("bo", domain).pgettext(context, message)
        if found != message:
            return found
    return _catalogue("zh", DOMAIN).pgettext(context, message)


def render(
    context: str,
    message: str,
    params: Mapping[str, object],
    *,
    language: str = DEFAULT_LANGUAGE,
    unreviewed: bool = False,
) -> str:
    """The text with its placeholders filled."""
    template = translate(context, message, language=language, unreviewed=unreviewed)
    return template.format_map(params) if params else template
