"""One-thing bundles (一件事): several matters applied for at once, and the one checklist that comes of their guides.

`BundleDocument` is what the lead department writes; `BundleSnapshot`, the published version, travels in `bundle-published`.
matters and cases compute the same guide from it and the children's texts, so that the digest an applicant was shown proves
what was asked of her.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal
from uuid import UUID

import orjson
from pydantic import Field

from shared.domain.guides import (
    Bilingual,
    Code,
    Material,
    MatterDocument,
    Part,
    PersonalGuide,
    personal_guide,
)
from shared.errors import FieldError, InvalidInputError
from shared.fields import Line, Prose

ChildCode = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,20}$")]
Answers = Annotated[
    dict[ChildCode, Annotated[dict[Code, Code], Field(max_length=200)]],
    Field(default_factory=dict, max_length=20),
]
"""Answers along the question tree of each child."""


class BundleChild(Part):
    """A matter of the bundle (子事项). It waits until those in `after` are granted; without any it begins at once."""

    code: ChildCode
    matter_id: UUID
    after: Annotated[tuple[ChildCode, ...], Field(max_length=20)] = ()
    fields: Annotated[tuple[Code, ...], Field(max_length=200)] = ()


class FormField(Part):
    """A field of the one form (一表申请), filled in once for all children that use it."""

    code: Code
    label: Bilingual
    kind: Literal["text", "number", "date", "phone", "id_number", "uscc", "yes_no"] = "text"
    required: bool = True


class ResultLink(Part):
    """The result of the child `of` is the material `material` of `child`: nobody has to bring it."""

    of: ChildCode
    child: ChildCode
    material: Code


class BundleDocument(Part):
    """One version of a bundle as its lead department (牵头部门) writes it."""

    code: Code
    name: Bilingual
    aliases: Annotated[tuple[Line, ...], Field(max_length=30)] = ()
    summary: Prose | None = None
    area_code: Annotated[str, Field(pattern=r"^[0-9]{12}$")]
    department_code: Code
    children: Annotated[tuple[BundleChild, ...], Field(min_length=2, max_length=20)]
    fields: Annotated[tuple[FormField, ...], Field(max_length=200)] = ()
    results: Annotated[tuple[ResultLink, ...], Field(max_length=200)] = ()


class Need(Part):
    """A child that needs a merged material, and the material's code there."""

    child: ChildCode
    material: Code


class MergedMaterial(Part):
    """A material brought once for every child that needs it (一套材料): the strictest necessity, the most copies."""

    code: Code
    name: Bilingual
    necessity: Literal["1", "2", "3"]
    kind: Literal["1", "2", "3"]
    form: Literal["paper", "electronic", "both"]
    copies: int
    source: Literal["10", "20", "99"]
    license_type_code: Line | None
    needed_by: tuple[Need, ...]


class ChildMatter(Part):
    """What a child was when the bundle was published."""

    code: ChildCode
    version: int
    name: Bilingual
    area_code: str
    department_code: str


class BundleSnapshot(BundleDocument):
    """A published version with what was computed of its children then."""

    matters: tuple[ChildMatter, ...] = ()
    materials: tuple[MergedMaterial, ...] = ()


class ChildGuide(Part):
    """The personal guide of one child, with the children that it waits for."""

    code: ChildCode
    after: tuple[ChildCode, ...]
    guide: PersonalGuide


class BundleGuide(Part):
    """The whole checklist for one applicant's situation; `digest` freezes it together with the digest of each child."""

    bundle_id: UUID
    version: int
    name: Bilingual
    children: tuple[ChildGuide, ...]
    fields: tuple[FormField, ...]
    materials: tuple[MergedMaterial, ...]
    results: tuple[ResultLink, ...]
    digest: str = ""


@dataclass(frozen=True, slots=True)
class ChildText:
    """The published text of a child's matter."""

    version: int
    document: MatterDocument


Texts = Mapping[UUID, ChildText]
"""The published texts by matter."""


def check_bundle(document: BundleDocument, texts: Texts) -> list[FieldError]:
    """Every broken rule at once: children, their order, the shared fields, results that are materials."""
    return [
        *_children(document, texts),
        *check_order(document),
        *_fields(document),
        *_results(document, texts),
    ]


def _doubled(place: str, values: Sequence[object]) -> Iterator[FieldError]:
    for value, number in Counter(values).items():
        if number > 1:
            yield FieldError(
                place, "unique", "{value} is used {number} times", value=value, number=number
            )


def _children(document: BundleDocument, texts: Texts) -> Iterator[FieldError]:
    yield from _doubled("children.code", [child.code for child in document.children])
    yield from _doubled("children.matter_id", [child.matter_id for child in document.children])
    for child in document.children:
        if child.matter_id not in texts:
            yield FieldError(
                f"children.{child.code}.matter_id", "published", "no published matter has this id"
            )


def check_order(document: BundleDocument) -> list[FieldError]:
    """What the children wait for must be there and never lead back to them."""
    waits = {child.code: child.after for child in document.children}
    faults = [
        FieldError(f"children.{code}.after", "exists", "there is no child {child}", child=other)
        for code, after in waits.items()
        for other in after
        if other not in waits
    ]
    if cycle := find_cycle(waits):
        fault = FieldError(
            "children.after",
            "no_cycle",
            "children wait for each other: {cycle}",
            cycle=" → ".join(cycle),
        )
        faults.append(fault)
    return faults


def find_cycle(waits: Mapping[str, Sequence[str]]) -> list[str]:
    """Codes along one cycle of a serial order, the first again at the end; empty when there is none."""
    left = {code: {other for other in after if other in waits} for code, after in waits.items()}
    while free := [code for code, after in left.items() if not after & left.keys()]:
        for code in free:
            del left[code]
    if not left:
        return []
    path = [next(iter(left))]
    # Each of the rest waits for one of the rest, so the walk comes back to where it was.
    while (following := min(left[path[-1]] & left.keys())) not in path:
        path.append(following)
    return [*path[path.index(following) :], following]


def waits_for(document: BundleDocument, code: str) -> set[str]:
    """All children that must be granted before this one, directly or through others."""
    waits = {child.code: child.after for child in document.children}
    found: set[str] = set()
    to_see = list(waits.get(code, ()))
    while to_see:
        other = to_see.pop()
        if other not in found:
            found.add(other)
            to_see += waits.get(other, ())
    return found


def _fields(document: BundleDocument) -> Iterator[FieldError]:
    yield from _doubled("fields.code", [one.code for one in document.fields])
    known = {one.code for one in document.fields}
    used = {code for child in document.children for code in child.fields}
    for child in document.children:
        for code in child.fields:
            if code not in known:
                yield FieldError(
                    f"children.{child.code}.fields", "exists", "there is no field {code}", code=code
                )
    for code in sorted(known - used):
        yield FieldError(f"fields.{code}", "used", "no child uses this field")


def _results(document: BundleDocument, texts: Texts) -> Iterator[FieldError]:
    yield from _doubled("results", [f"{link.child}.{link.material}" for link in document.results])
    matters = {child.code: child.matter_id for child in document.children}
    for number, link in enumerate(document.results):
        place = f"results.{number}"
        for name in ("of", "child"):
            if getattr(link, name) not in matters:
                yield FieldError(
                    f"{place}.{name}",
                    "exists",
                    "there is no child {child}",
                    child=getattr(link, name),
                )
        if {link.of, link.child} <= set(matters):
            if link.of not in waits_for(document, link.child):
                yield FieldError(
                    f"{place}.of",
                    "in_order",
                    "{child} does not wait for {other}",
                    child=link.child,
                    other=link.of,
                )
            yield from _link_fits(
                place, link, texts.get(matters[link.of]), texts.get(matters[link.child])
            )


def _link_fits(
    place: str, link: ResultLink, of: ChildText | None, child: ChildText | None
) -> Iterator[FieldError]:
    if of is not None and of.document.result is None:
        yield FieldError(
            f"{place}.of", "has_result", "the matter of {child} names no result", child=link.of
        )
    if child is not None and all(
        material.code != link.material for material in child.document.materials
    ):
        yield FieldError(
            f"{place}.material",
            "exists",
            "{child} has no material {material}",
            child=link.child,
            material=link.material,
        )


@dataclass(slots=True)
class _Pile:
    """Materials of different children that are one."""

    first: Material
    names: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    licenses: set[str] = field(default_factory=set[str])
    parts: list[tuple[str, Material]] = field(default_factory=list[tuple[str, Material]])

    def fits(self, child: str, material: Material) -> bool:
        """By name and form, or by licence type; never two of the same child, whose guide asks for both."""
        same = _name(material) in self.names or material.license_type_code in self.licenses
        return same and all(owner != child for owner, _ in self.parts)

    def add(self, child: str, material: Material) -> None:
        self.names.add(_name(material))
        if material.license_type_code is not None:
            self.licenses.add(material.license_type_code)
        self.parts.append((child, material))


def _name(material: Material) -> tuple[str, str]:
    return "".join(material.name.zh.split()), material.form


def merge_materials(
    children: Sequence[tuple[str, Sequence[Material]]], results: Sequence[ResultLink] = ()
) -> tuple[MergedMaterial, ...]:
    """The materials of all children without duplicates and without those that are another child's result."""
    linked = {(link.child, link.material) for link in results}
    piles: list[_Pile] = []
    for child, materials in children:
        for material in materials:
            if (child, material.code) not in linked:
                pile = next((pile for pile in piles if pile.fits(child, material)), None)
                if pile is None:
                    piles.append(pile := _Pile(material))
                pile.add(child, material)
    return tuple(_merged(f"B{number}", pile) for number, pile in enumerate(piles, start=1))


def _merged(code: str, pile: _Pile) -> MergedMaterial:
    parts = [material for _, material in pile.parts]
    forms, needs = {part.form for part in parts}, {part.necessity for part in parts}
    return MergedMaterial(
        code=code,
        name=next((part.name for part in parts if part.name.bo), pile.first.name),
        necessity="1" if "1" in needs else "3" if "3" in needs else "2",
        kind=min(part.kind for part in parts),
        form=pile.first.form if len(forms) == 1 else "both",
        copies=max(part.copies for part in parts),
        source=pile.first.source,
        license_type_code=next(
            (part.license_type_code for part in parts if part.license_type_code), None
        ),
        needed_by=tuple(
            Need(child=child, material=material.code) for child, material in pile.parts
        ),
    )


def snapshot(document: BundleDocument, texts: Texts) -> BundleSnapshot:
    """The version that is published: the document and what is computed of the children, all their materials merged."""
    matters = [(child.code, texts[child.matter_id]) for child in document.children]
    # Only the document's own fields: what was computed before never counts.
    written = {name: getattr(document, name) for name in BundleDocument.model_fields}
    return BundleSnapshot(
        **written,
        matters=tuple(
            ChildMatter(
                code=code,
                version=text.version,
                name=text.document.name,
                area_code=text.document.area_code,
                department_code=text.document.department_code,
            )
            for code, text in matters
        ),
        materials=merge_materials(
            [(code, text.document.materials) for code, text in matters], document.results
        ),
    )


def bundle_guide(
    document: BundleDocument,
    texts: Texts,
    answers: Mapping[str, Mapping[str, str]],
    *,
    bundle_id: UUID,
    version: int,
) -> BundleGuide:
    """The guide for these answers (`{child: {question: option}}`). 400 naming every wrong answer of every child."""
    faults = [
        FieldError(f"answers.{code}", "exists", "there is no child {child}", child=code)
        for code in answers
        if all(child.code != code for child in document.children)
    ]
    guides: list[ChildGuide] = []
    for child in document.children:
        text = texts[child.matter_id]
        try:
            guide = personal_guide(
                text.document,
                answers.get(child.code, {}),
                matter_id=child.matter_id,
                version=text.version,
            )
            guides.append(ChildGuide(code=child.code, after=child.after, guide=guide))
        except InvalidInputError as error:
            faults += [f.renamed(f"answers.{child.code}.{_last(f.field)}") for f in error.errors]
    if faults:
        raise InvalidInputError("the answers do not lead through the questions", faults)
    asked = {(child.code, material.code) for child in guides for material in child.guide.materials}
    results = tuple(link for link in document.results if (link.child, link.material) in asked)
    whole = BundleGuide(
        bundle_id=bundle_id,
        version=version,
        name=document.name,
        children=tuple(guides),
        fields=document.fields,
        materials=merge_materials(
            [(child.code, child.guide.materials) for child in guides], results
        ),
        results=results,
    )
    return whole.model_copy(update={"digest": _digest(whole)})


def _last(place: str) -> str:
    return place.removeprefix("answers.")


def _digest(guide: BundleGuide) -> str:
    content = guide.model_dump(mode="json", exclude={"digest"})
    return (
        "sha256:" + hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
    )
