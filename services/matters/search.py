"""Words of the search.

Chinese by characters and pairs, Tibetan by syllables and pairs, the rest by words.

Any two neighbouring characters of a name find it, with PostgreSQL alone. Colloquial words lead to
the official ones through `synonyms.csv`, which matters more than any segmenter.

Beside the words stand marks, which no typed word can equal: `^登记` how the name begins, `=准生证`
a whole line, `@area=…` what is filtered by, `@size=2` about how long the name is. So one index
answers words and filters together, the best first.
"""

import csv
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path

CHINESE = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]+")
TIBETAN = re.compile(r"[\u0f40-\u0fbc\u0f0b\u0f0c]+")
WORD = re.compile(r"[0-9a-z]+")
MAX_VARIANTS = 6
SIZES = (4, 6, 8, 11, 16)
"""Longest names of each class but the last, in characters."""


def normalise(text: str) -> str:
    """NFKC, lower case, one space between words."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def _pieces(text: str) -> tuple[list[str], list[list[str]], list[str]]:
    text = normalise(text)
    tibetan: list[list[str]] = []
    for run in TIBETAN.findall(text):
        # The tsheg ends a syllable; its second form forbids a line break.
        syllables = re.split(r"[\u0f0b\u0f0c]", run)
        tibetan.append([syllable for syllable in syllables if syllable])
    return CHINESE.findall(text), tibetan, WORD.findall(text)


def tokens(texts: Iterable[str]) -> list[str]:
    """All search words of some texts, for the index."""
    found: set[str] = set()
    for text in texts:
        chinese, tibetan, words = _pieces(text)
        for run in [*chinese, *tibetan]:
            found.update(run)
            found.update("".join(pair) for pair in pairwise(run))
        found.update(words)
    return sorted(found)


def query_words(text: str) -> list[str]:
    """The words that must all be there for `text` to be found.

    Pairs where there are any, else single characters.
    """
    chinese, tibetan, words = _pieces(text)
    wanted = set(words)
    for run in [*chinese, *tibetan]:
        pairs = ["".join(pair) for pair in pairwise(run)]
        wanted.update(pairs or run)
    return sorted(wanted)


@cache
def synonyms() -> dict[str, list[str]]:
    """Colloquial word → official words."""
    table: dict[str, list[str]] = {}
    with (Path(__file__).parent / "synonyms.csv").open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        _ = next(lines)  # the names of the columns
        for colloquial, official in lines:
            table.setdefault(colloquial, []).append(official)
    return table


def variants(text: str) -> list[str]:
    """`text` and what it means officially, at most six."""
    text = normalise(text)
    found = [text]
    for colloquial, official in synonyms().items():
        if colloquial in text:
            found += [text.replace(colloquial, word) for word in official]
    return list(dict.fromkeys(found))[:MAX_VARIANTS]


def marks(lines: Iterable[str], facets: Mapping[str, Iterable[object]]) -> list[str]:
    """Marks of a text.

    `lines` are its normalised lines, the name first; `facets` what it can be filtered by.
    """
    lines = list(lines)
    name = lines[0]
    size = bisect_left(SIZES, len(name))
    found = {f"^{name[:2]}", f"@size={size}"}
    for line in lines:
        found.add(f"={line}")
    for facet_name, values in facets.items():
        for value in values:
            found.add(facet(facet_name, value))
    return sorted(found)


def facet(name: str, value: object) -> str:
    """The mark of one filter."""
    return f"@{name}={value}"


def size_marks() -> list[str]:
    """Every class of names, the shortest first, as tsquery texts."""
    return [quoted(facet("size", number)) for number in range(len(SIZES) + 1)]


def quoted(word: str) -> str:
    """A lexeme as a tsquery text."""
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"


def part_query(forms: Iterable[str], *, facets: Iterable[str]) -> str:
    """A tsquery text: all words of any form, and all facets.

    It is empty when there is no word in any form.
    """
    alternatives: list[str] = []
    for form in forms:
        words = query_words(form)
        if words:
            alternatives.append(_all(map(quoted, words)))
    # Without any word the query would be the facets alone, and find all that they leave.
    if not alternatives:
        return ""
    return _all([_any(alternatives), *map(quoted, facets)])


def head_query(forms: Iterable[str], *, facets: Iterable[str]) -> str:
    """A tsquery text for the hits that come first, with all facets.

    A name that begins like any form and has its words, or a line that equals a form.
    """
    heads: list[str] = []
    for form in forms:
        beginning = _all(map(quoted, [f"^{form[:2]}", *query_words(form)]))
        whole_line = quoted(f"={form}")
        heads.append(_any([beginning, whole_line]))
    return _all([_any(heads), *map(quoted, facets)])


def _any(terms: Iterable[str]) -> str:
    return " | ".join(f"({term})" for term in terms)


def _all(terms: Iterable[str]) -> str:
    return " & ".join(f"({term})" for term in terms)
