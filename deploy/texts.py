"""The catalogues of texts: what the code can say, in every language (`python -m deploy.texts`).

Templates are found by the syntax tree: English texts of problems, field errors and rules in
services, shared and gateway, and those of Pydantic's own error types. Their translations are kept
in `shared/locale/<language>/<part>.po` and compiled to the `.mo` files that the services read.
"""

import ast
import builtins
import string
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, cast

import typer
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

# Pydantic publishes the list of its error types only here.
from pydantic_core._pydantic_core import (
    list_all_errors,  # pyright: ignore[reportPrivateImportUsage, reportUnknownVariableType]
)

from shared.errors import (
    PYDANTIC_TEMPLATES,
    FieldError,
    InvalidValueError,
    ProblemError,
    Rule,
)
from shared.texts import DOMAIN, REVIEWED_DOMAIN

ROOT = Path(__file__).resolve().parent.parent
LOCALE = ROOT / "shared" / "locale"
PARTS = ("services", "shared", "gateway")
TRANSLATED = ("zh", "bo")
REQUIRED = "zh"
"""The language that must have every text."""
UNREVIEWED = "reviewed: false"
PYDANTIC = "pydantic"
LOOSE = frozenset(
    {"class_name", "encoding_error", "error", "expected_plural", "field_type", "method_name"}
)
"""Placeholders of Pydantic that hold English words; a translation leaves them out."""
FORWARDS = {
    "shared/errors.py": "makes field errors of rules and Pydantic's errors, whose texts are known",
}
"""Modules that may pass on a template that is not a literal, with the reason."""
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""Date in the headers of catalogues: the same input makes the same bytes."""
NOT_PARAMS = frozenset(
    {"errors", "extra", "headers", "row", "field", "rule", "message", "wait", "wire_headers"}
)


class Key(NamedTuple):
    """A text: the code or rule that it belongs to, and the English template."""

    context: str
    template: str


@dataclass
class Found:
    """What the code can say: the places of each text by part, and calls that cannot be read."""

    texts: dict[str, dict[Key, list[str]]] = field(default_factory=dict[str, dict[Key, list[str]]])
    faults: list[str] = field(default_factory=list[str])

    def add(self, part: str, key: Key, *, place: str) -> None:
        self.texts.setdefault(part, {}).setdefault(key, []).append(place)


# -- what the code says


def extract(root: Path = ROOT) -> Found:
    """Every template of the code below `root`, and of Pydantic."""
    found = Found()
    for top in PARTS:
        for path in sorted((root / top).rglob("*.py")):
            relative = path.relative_to(root)
            if "migrations" not in relative.parts[:-1]:
                _extract_file(found, relative, source=path.read_text(encoding="utf-8"))
    _extract_pydantic(found)
    return found


def _part_of(relative: Path) -> str:
    return relative.parts[1] if relative.parts[0] == "services" else relative.parts[0]


def _extract_file(found: Found, relative: Path, *, source: str) -> None:
    tree = ast.parse(source)
    if not _says_anything(source):
        return
    name = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
    visitor = _Extractor(
        found, _part_of(relative), file=relative.as_posix(), module=import_module(name)
    )
    visitor.visit(tree)


def _says_anything(source: str) -> bool:
    """Whether a module can hold a template: all classes of interest end in these words."""
    return "Error" in source or "Rule" in source or "Refusal" in source


class _Extractor(ast.NodeVisitor):
    """Visits one module; names are looked up in the module itself."""

    def __init__(self, found: Found, part: str, *, file: str, module: ModuleType) -> None:
        self._found = found
        self._part = part
        self._file = file
        self._module = module
        self._class: type[ProblemError] | None = None

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        around = self._class
        kind = getattr(self._module, node.name, None)
        self._class = None
        if isinstance(kind, type) and issubclass(kind, ProblemError):
            self._class = kind
            if "title" in vars(kind) or "code" in vars(kind):
                self._add(kind.code, text=kind.title, line=node.lineno)
        self.generic_visit(node)
        self._class = around

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        if self._class is not None and _is_super_init(node):
            detail = _argument(node, 0, name="detail")
            # A class that takes its text from its caller passes it on.
            if not isinstance(detail, ast.Name) or not _takes_detail(self._class):
                self._take(node, self._class.code, template=detail)
            return
        kind = self._resolve(node.func)
        if isinstance(kind, type):
            self._visit_construction(node, kind)

    def _visit_construction(self, node: ast.Call, kind: type) -> None:
        if issubclass(kind, ProblemError) and _takes_detail(kind):
            self._take(node, kind.code, template=_argument(node, 0, name="detail"))
        elif issubclass(kind, FieldError):
            self._take_ruled(
                node, _argument(node, 1, name="rule"), message=_argument(node, 2, name="message")
            )
        elif issubclass(kind, Rule):
            self._take_ruled(
                node, _argument(node, 0, name="name"), message=_argument(node, 1, name="message")
            )
        elif issubclass(kind, InvalidValueError):
            self._take(node, "value_error", template=_argument(node, 0, name="message"))

    def _resolve(self, expression: ast.expr) -> object:
        """What a dotted name means in the module; None for anything else."""
        match expression:
            case ast.Name(id=name):
                return getattr(self._module, name, getattr(builtins, name, None))
            case ast.Attribute(value=owner, attr=name):
                return getattr(self._resolve(owner), name, None)
            case _:
                return None

    def _take_ruled(
        self, node: ast.Call, rule: ast.expr | None, *, message: ast.expr | None
    ) -> None:
        name = _literal(rule)
        if name is None:
            self._fault(node, "the rule is not a literal")
            return
        self._take(node, name, template=message)

    def _take(self, node: ast.Call, context: str, *, template: ast.expr | None) -> None:
        text = _literal(template)
        if text is None:
            self._fault(node, "the text is not a literal")
            return
        self._add(context, text=text, line=node.lineno)
        self._check_params(node, text)

    def _check_params(self, node: ast.Call, text: str) -> None:
        names = [keyword.arg for keyword in node.keywords]
        if None in names:  # `**params`: only known when the code runs
            return
        given = {name for name in names if name is not None} - NOT_PARAMS
        try:
            wanted = placeholders(text)
        except ValueError as error:
            if given:
                self._fault(node, f"the text cannot be filled in: {error}")
            return
        for name in sorted(wanted - given):
            self._fault(node, f"the placeholder {{{name}}} is not given")

    def _add(self, context: str, *, text: str, line: int) -> None:
        self._found.add(self._part, Key(context, text), place=f"{self._file}:{line}")

    def _fault(self, node: ast.Call, message: str) -> None:
        if self._file not in FORWARDS:
            self._found.faults.append(f"{self._file}:{node.lineno}: {message}")


def _is_super_init(node: ast.Call) -> bool:
    match node.func:
        case ast.Attribute(attr="__init__", value=ast.Call(func=ast.Name(id="super"))):
            return True
        case _:
            return False


def _takes_detail(kind: type[ProblemError]) -> bool:
    """Whether calls of the class give the text; else its `__init__` has a text of its own."""
    return "detail" in kind.__init__.__code__.co_varnames[1:2]


def _argument(node: ast.Call, place: int, *, name: str) -> ast.expr | None:
    if len(node.args) > place:
        return node.args[place]
    for keyword in node.keywords:
        if keyword.arg == name:
            return keyword.value
    return None


def _literal(expression: ast.expr | None) -> str | None:
    if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
        return expression.value
    return None


def _extract_pydantic(found: Found) -> None:
    for entry in list_all_errors():
        kind = entry["type"]
        if kind in {"value_error", "assertion_error"}:
            continue
        template = PYDANTIC_TEMPLATES.get(kind, entry["message_template_python"])
        found.add(PYDANTIC, Key(kind, template), place=PYDANTIC)


def placeholders(template: str) -> frozenset[str]:
    """The names in braces. Raises `ValueError` for braces that are no placeholder."""
    names: set[str] = set()
    for _, name, _, _ in string.Formatter().parse(template):
        if name is not None:
            names.add(name)
    return frozenset(names)


# -- catalogues


def _empty(language: str) -> Catalog:
    return Catalog(
        locale=language,
        project="tongban",
        version="1",
        creation_date=EPOCH,
        revision_date=EPOCH,
        fuzzy=False,
        header_comment="# Texts of errors; written by `python -m deploy.texts update`.",
        last_translator="tongban",
        language_team=language,
        msgid_bugs_address="tongban",
    )


def _key(message: Message) -> Key:
    return Key(message.context or "", str(message.id))


def _read(language: str, *, part: str, locale: Path) -> Catalog | None:
    path = locale / language / f"{part}.po"
    if not path.exists():
        return None
    with path.open("rb") as stream:
        return read_po(stream, locale=language)


def _entries(catalog: Catalog) -> Iterator[Message]:
    """The entries of a catalogue without its header."""
    for message in catalog:
        if message.id:
            yield message


def _parts(language: str, locale: Path) -> list[str]:
    return sorted(path.stem for path in (locale / language).glob("*.po"))


def is_reviewed(message: Message) -> bool:
    return all(comment.strip() != UNREVIEWED for comment in message.auto_comments)


def merge(language: str, locale: Path = LOCALE) -> tuple[dict[Key, Message], list[str]]:
    """The texts of all parts, and the contradictions between them."""
    merged: dict[Key, Message] = {}
    owners: dict[Key, str] = {}
    faults: list[str] = []
    for part in _parts(language, locale):
        catalog = _read(language, part=part, locale=locale)
        for message in _entries(catalog) if catalog is not None else ():
            key = _key(message)
            if not message.string:
                continue
            earlier = merged.get(key)
            if earlier is None:
                merged[key] = message
                owners[key] = part
            elif earlier.string != message.string:
                name = f"{key.context}: {key.template!r}"
                faults.append(f"{language}: {owners[key]} and {part} differ on {name}")
    return merged, faults


def compiled(language: str, *, reviewed_only: bool, locale: Path = LOCALE) -> bytes:
    """The `.mo` file of all parts."""
    merged, _ = merge(language, locale)
    catalog = _empty(language)
    for key in sorted(merged):
        message = merged[key]
        if reviewed_only and not is_reviewed(message):
            continue
        _ = catalog.add(key.template, message.string, context=key.context or None)
    stream = BytesIO()
    write_mo(stream, catalog)
    return stream.getvalue()


def outputs(locale: Path) -> Iterator[tuple[Path, bytes]]:
    for language in TRANSLATED:
        folder = locale / language / "LC_MESSAGES"
        yield folder / f"{DOMAIN}.mo", compiled(language, reviewed_only=False, locale=locale)
        if language == "bo":
            reviewed = compiled(language, reviewed_only=True, locale=locale)
            yield folder / f"{REVIEWED_DOMAIN}.mo", reviewed


# -- checks


def faults_of(found: Found, locale: Path = LOCALE) -> list[str]:
    """Everything wrong with the templates, the catalogues and the compiled files."""
    faults = list(found.faults)
    faults += _missing(found, locale)
    for language in TRANSLATED:
        faults += merge(language, locale)[1]
        for part in _parts(language, locale):
            known = found.texts.get(part, {})
            catalog = _read(language, part=part, locale=locale)
            for message in _entries(catalog) if catalog is not None else ():
                faults += _message_faults(message, f"{language}/{part}.po", known=known, part=part)
    for path, content in outputs(locale):
        if not path.exists() or path.read_bytes() != content:
            faults.append(f"{path.relative_to(locale)} is stale: python -m deploy.texts compile")
    return faults


def _missing(found: Found, locale: Path) -> list[str]:
    """Texts of the code that the required language lacks."""
    merged, _ = merge(REQUIRED, locale)
    faults: list[str] = []
    for part, texts in sorted(found.texts.items()):
        for key, places in sorted(texts.items()):
            if key not in merged:
                faults.append(f"{places[0]}: no {REQUIRED} text in {part}.po for {key}")
    return faults


def _message_faults(
    message: Message, file: str, *, known: dict[Key, list[str]], part: str
) -> list[str]:
    key = _key(message)
    if key not in known:
        return [f"{file}: no code says {key.context}: {key.template!r}"]
    text = cast("str", message.string)
    if not text:
        return []
    try:
        wanted, used = placeholders(key.template), placeholders(text)
    except ValueError as error:
        return [f"{file}: {key.template!r}: {error}"]
    loose = LOOSE if part == PYDANTIC else frozenset[str]()
    faults: list[str] = []
    for name in sorted(wanted - used - loose):
        faults.append(f"{file}: {key.template!r}: the text lacks {{{name}}}")
    for name in sorted((used - wanted) | (used & loose)):
        faults.append(f"{file}: {key.template!r}: the text must not have {{{name}}}")
    return faults


# -- commands

cli = typer.Typer(help="Catalogues of texts", no_args_is_help=True)


def _report(faults: Sequence[str]) -> None:
    for fault in faults:
        _ = sys.stderr.write(f"{fault}\n")
    if faults:
        raise typer.Exit(1)


@cli.command()
def update() -> None:
    """Add new templates to the catalogues.

    Texts that are in no code any more stay as obsolete entries.
    """
    found = extract()
    merged = {language: merge(language)[0] for language in TRANSLATED}
    for part, texts in sorted(found.texts.items()):
        write_part(REQUIRED, part=part, texts=texts, merged=merged[REQUIRED])
        if (LOCALE / "bo" / f"{part}.po").exists():
            write_part("bo", part=part, texts=texts, merged=merged["bo"], only_translated=True)
    _report(found.faults)


def write_part(
    language: str,
    *,
    part: str,
    texts: dict[Key, list[str]],
    merged: dict[Key, Message],
    only_translated: bool = False,
    locale: Path = LOCALE,
) -> None:
    """Write one catalogue again, in the order of contexts and templates.

    A text that another part has already is not asked for twice.
    """
    before = _read(language, part=part, locale=locale) or _empty(language)
    old = {_key(message): message for message in _entries(before)}
    catalog = _empty(language)
    for key in sorted(texts):
        message = old.get(key)
        if message is None and (only_translated or key in merged):
            continue
        text, comments = "", list[str]()
        if message is not None:
            text, comments = cast("str", message.string), message.auto_comments
        _ = catalog.add(
            key.template,
            text,
            context=key.context,
            auto_comments=comments,
        )
    _keep_obsolete(catalog, before=before, texts=texts)
    path = locale / language / f"{part}.po"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        write_po(stream, catalog, width=0, no_location=True)


def _keep_obsolete(catalog: Catalog, *, before: Catalog, texts: Collection[Key]) -> None:
    """Texts that no code says any more stay as obsolete entries, for whoever words them anew."""
    for message in [*before.obsolete.values(), *_entries(before)]:
        if _key(message) not in texts and message.string:
            catalog.obsolete[_key(message)] = message


@cli.command("compile")
def compile_command() -> None:
    """Write the `.mo` files."""
    for path, content in outputs(LOCALE):
        path.parent.mkdir(parents=True, exist_ok=True)
        _ = path.write_bytes(content)


@cli.command()
def check() -> None:
    """End with status 1 and one line for each fault."""
    _report(faults_of(extract()))


@cli.command("list-unreviewed")
def list_unreviewed() -> None:
    """The texts that no native reader has approved yet."""
    for language in TRANSLATED:
        merged, _ = merge(language)
        for key in sorted(merged):
            if not is_reviewed(merged[key]):
                typer.echo(f"{language}  {key.context}  {key.template}  →  {merged[key].string}")


if __name__ == "__main__":
    cli()
