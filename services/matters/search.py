"""Words of the search: Chinese by characters and pairs, Tibetan by syllables and pairs, the rest by words.

Any two neighbouring characters of a name find it, with PostgreSQL alone. Colloquial words lead to the official ones through
`synonyms.csv`, which matters more than any segmenter.
"""

import csv
import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path

CHINESE = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]+")
TIBETAN = re.compile(r"[\u0f40-\u0fbc\u0f0b\u0f0c]+")
WORD = re.compile(r"[0-9a-z]+")
MAX_VARIANTS = 6


def normalise(text: str) -> str:
    """NFKC, lower case, one space between words."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def _pieces(text: str) -> tuple[list[str], list[list[str]], list[str]]:
    text = normalise(text)
    tibetan = [[s for s in re.split(r"[\u0f0b\u0f0c]", run) if s] for run in TIBETAN.findall(text)]
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
    """The words that all must be there for `text` to be found: pairs where there are any, else single characters."""
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
        for row in csv.DictReader(file):
            table.setdefault(row["colloquial"], []).append(row["official"])
    return table


def variants(text: str) -> list[str]:
    """`text` and what it means officially, at most six."""
    text = normalise(text)
    found = [text]
    for colloquial, official in synonyms().items():
        if colloquial in text:
            found += [text.replace(colloquial, word) for word in official]
    return list(dict.fromkeys(found))[:MAX_VARIANTS]


def tsquery(words: Iterable[Iterable[str]]) -> str:
    """A tsquery text: any of the variants, all words of each."""
    quoted = [" & ".join("'" + word.replace("'", "''") + "'" for word in group) for group in words]
    return " | ".join(f"({group})" for group in quoted if group)
