"""Texts of errors in the reader's language, from gettext catalogues.

English stands in the code and is the message id; the context is the problem's `code` or the
field's `rule`. Chinese is the default. Tibetan is shown where it exists, and unreviewed Tibetan
only where the city's setting says so. `python -m deploy.texts` keeps the catalogues.
"""

import gettext
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

LOCALE = Path(__file__).parent / "locale"
DEFAULT_LANGUAGE = "zh"
LANGUAGES = ("zh", "en", "bo")
DOMAIN = "tongban"
REVIEWED_DOMAIN = "tongban-reviewed"
"""Domain of the catalogue that holds only texts approved by a native reader."""
MAX_HEADER = 200
"""Characters of `Accept-Language` that are read."""


class Reader(NamedTuple):
    """Who reads a text: the language, whether unreviewed Tibetan may be shown.

    `languages` are the city's.
    """

    language: str = DEFAULT_LANGUAGE
    unreviewed: bool = False
    languages: tuple[str, ...] = LANGUAGES


class Choices(tuple[str, ...]):
    """A list of values as a parameter of a text, each in the quotation marks of the language."""

    __slots__ = ()


_reader: ContextVar[Reader] = ContextVar("tongban_reader", default=Reader())  # noqa: B039 - immutable


def current_reader() -> Reader:
    """The reader of the request at hand; outside of requests the default one."""
    return _reader.get()


@contextmanager
def reading(reader: Reader) -> Generator[None]:
    """Render texts for `reader` and go back to the former one."""
    token = _reader.set(reader)
    try:
        yield
    finally:
        _reader.reset(token)


def choose_language(accept_language: str, languages: tuple[str, ...] = LANGUAGES) -> str:
    """The first of the city's languages that the header `Accept-Language` prefers; else Chinese."""
    return _choose_language(accept_language[:MAX_HEADER], languages)


@lru_cache(maxsize=512)  # asked once a request, and clients send the same few headers
def _choose_language(accept_language: str, languages: tuple[str, ...]) -> str:
    best = 0.0
    chosen = DEFAULT_LANGUAGE
    for part in accept_language.split(","):
        tag, _, parameter = part.strip().partition(";")
        language = tag.strip().lower().split("-")[0]
        weight = _weight(parameter)
        if language in languages and weight > best:
            best = weight
            chosen = language
    return chosen


def _weight(parameter: str) -> float:
    """The weight 0 to 1 of `q=0.8`; 1 when nothing is said, 0 when it cannot be read."""
    quality = parameter.replace(" ", "").lower().removeprefix("q=")
    if not quality:
        return 1.0
    try:
        weight = float(quality)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0


@cache
def _catalogue(language: str, *, domain: str) -> gettext.NullTranslations:
    return gettext.translation(domain, LOCALE, [language], fallback=True)


def translate(context: str, *, message: str, language: str, unreviewed: bool = False) -> str:
    """The template `message` in `language`, with its placeholders; English where there is none.

    `context` is the code or rule that the message belongs to. A Tibetan text that is missing, or
    not reviewed while `unreviewed` is false, is replaced by the Chinese one.
    """
    if language == "en":
        return message
    if language == "bo":
        domain = DOMAIN if unreviewed else REVIEWED_DOMAIN
        found = _catalogue("bo", domain=domain).pgettext(context, message)
        if found != message:
            return found
    return _catalogue("zh", domain=DOMAIN).pgettext(context, message)


def render(
    context: str,
    *,
    message: str,
    params: Mapping[str, object],
    language: str = DEFAULT_LANGUAGE,
    unreviewed: bool = False,
) -> str:
    """The text with its placeholders filled."""
    template = translate(context, message=message, language=language, unreviewed=unreviewed)
    if not params:
        return template
    written: dict[str, object] = {}
    for name, value in params.items():
        written[name] = _join(value, language) if isinstance(value, Choices) else value
    return template.format_map(written)


def _join(choices: Choices, language: str) -> str:
    if language != "en":
        return "、".join(f"“{choice}”" for choice in choices)
    quoted = [f"'{choice}'" for choice in choices]
    if len(quoted) < 2:
        return "".join(quoted)
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"
