"""Bundles (一件事): several matters applied for at once.

One checklist is made of their guides.

`BundleDocument` is what the lead department writes. `BundleSnapshot`, the published version, is
part of `bundle-published`. matters and cases compute the same guide from it and the children's
documents, so that the digest which an applicant was shown proves what was asked of her.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from shared.domain.guides import (
    Bilingual,
    Code,
    Material,
    MatterDocument,
    Part,
    PersonalGuide,
    guide_digest,
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
    """A matter of the bundle (子事项); it begins when those in `after` are granted."""

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
    """The result of the child `of` is the material `material` of `child`;
    nobody has to bring it.
    """

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
    """A material brought once for all children that need it (一套材料).

    It has the strictest necessity and the largest number of copies of them.
    """

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
    """A child's matter as it was when the bundle was published."""

    code: ChildCode
    version: int
    name: Bilingual
    area_code: str
    department_code: str


class BundleSnapshot(BundleDocument):
    """A published version, with what was computed of its children at that time."""

    matters: tuple[ChildMatter, ...] = ()
    materials: tuple[MergedMaterial, ...] = ()


class ChildGuide(Part):
    """The personal guide of one child, with the children that it waits for."""

    code: ChildCode
    after: tuple[ChildCode, ...]
    guide: PersonalGuide


class BundleGuide(Part):
    """The whole checklist for one applicant's situation.

    `digest` is the hash of its content, the digest of each child included.
    """

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
    """All errors: of children, their order, the shared fields, and results that are materials."""
    return [
        *_children(document, texts),
        *check_order(document),
        *_fields(document),
        *_results(document, texts),
    ]


def _duplicates(place: str, values: Sequence[object]) -> Iterator[FieldError]:
    for value, number in Counter(values).items():
        if number > 1:
            yield FieldError(
                place,
                "unique",
                message="{value} is used {number} times",
                value=value,
                number=number,
            )


def _children(document: BundleDocument, texts: Texts) -> Iterator[FieldError]:
    yield from _duplicates("children.code", [child.code for child in document.children])
    yield from _duplicates("children.matter_id", [child.matter_id for child in document.children])
    for child in document.children:
        if child.matter_id not in texts:
            yield FieldError(
                f"children.{child.code}.matter_id",
                "published",
                message="no published matter has this id",
            )


def check_order(document: BundleDocument) -> list[FieldError]:
    """Errors of the order: a child waits for one that does not exist, or for itself in the end."""
    waits = {child.code: child.after for child in document.children}
    errors: list[FieldError] = []
    for code, after in waits.items():
        for other in after:
            if other not in waits:
                place = f"children.{code}.after"
                errors.append(
                    FieldError(place, "exists", message="there is no child {child}", child=other)
                )
    cycle = find_cycle(waits)
    if cycle:
        errors.append(
            FieldError(
                "children.after",
                "no_cycle",
                message="children wait for each other: {cycle}",
                cycle=" → ".join(cycle),
            )
        )
    return errors


def find_cycle(waits: Mapping[str, Sequence[str]]) -> list[str]:
    """Codes along one cycle, the first again at the end; empty when there is none.

    `waits`: the codes that each code waits for.
    """
    left = _waiting_for_each_other(waits)
    if not left:
        return []
    # Each of those left waits for another of them, so the walk must come back to where it was.
    path = [next(iter(left))]
    while True:
        following = min(left[path[-1]] & left.keys())
        if following in path:
            return [*path[path.index(following) :], following]
        path.append(following)


def _waiting_for_each_other(waits: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    """The codes that are part of a cycle or wait for one, with those that they wait for."""
    left: dict[str, set[str]] = {}
    for code, after in waits.items():
        left[code] = set(after) & waits.keys()
    while True:
        free = [code for code, after in left.items() if not after & left.keys()]
        if not free:
            return left
        for code in free:
            del left[code]


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
    yield from _duplicates("fields.code", [one.code for one in document.fields])
    known = {one.code for one in document.fields}
    used: set[str] = set()
    for child in document.children:
        used.update(child.fields)
        for code in child.fields:
            if code not in known:
                yield FieldError(
                    f"children.{child.code}.fields",
                    "exists",
                    message="there is no field {code}",
                    code=code,
                )
    for code in sorted(known - used):
        yield FieldError(f"fields.{code}", "used", message="no child uses this field")


def _results(document: BundleDocument, texts: Texts) -> Iterator[FieldError]:
    names = [f"{link.child}.{link.material}" for link in document.results]
    yield from _duplicates("results", names)
    matters = {child.code: child.matter_id for child in document.children}
    for number, link in enumerate(document.results):
        place = f"results.{number}"
        missing = False
        for name, code in (("of", link.of), ("child", link.child)):
            if code not in matters:
                missing = True
                yield FieldError(
                    f"{place}.{name}", "exists", message="there is no child {child}", child=code
                )
        if missing:
            continue
        if link.of not in waits_for(document, link.child):
            yield FieldError(
                f"{place}.of",
                "in_order",
                message="{child} does not wait for {other}",
                child=link.child,
                other=link.of,
            )
        of_text, child_text = texts.get(matters[link.of]), texts.get(matters[link.child])
        yield from _link_fits(place, link, of_text=of_text, child_text=child_text)


def _link_fits(
    place: str, link: ResultLink, *, of_text: ChildText | None, child_text: ChildText | None
) -> Iterator[FieldError]:
    """Whether the one matter has a result and the other the material."""
    if of_text is not None and of_text.document.result is None:
        yield FieldError(
            f"{place}.of",
            "has_result",
            message="the matter of {child} names no result",
            child=link.of,
        )
    if child_text is None:
        return
    codes = {material.code for material in child_text.document.materials}
    if link.material not in codes:
        yield FieldError(
            f"{place}.material",
            "exists",
            message="{child} has no material {material}",
            child=link.child,
            material=link.material,
        )


@dataclass(slots=True)
class _Group:
    """Materials of different children that are one material."""

    first: Material
    names: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    licenses: set[str] = field(default_factory=set[str])
    parts: list[tuple[str, Material]] = field(default_factory=list[tuple[str, Material]])

    def fits(self, child: str, material: Material) -> bool:
        """Whether name and form, or the license type, are the same.

        Two materials of one child are never merged: its guide asks for both.
        """
        same_name = _name(material) in self.names
        same_license = material.license_type_code in self.licenses
        if not same_name and not same_license:
            return False
        return all(owner != child for owner, _ in self.parts)

    def add(self, child: str, material: Material) -> None:
        self.names.add(_name(material))
        if material.license_type_code is not None:
            self.licenses.add(material.license_type_code)
        self.parts.append((child, material))


def _name(material: Material) -> tuple[str, str]:
    """Name without blanks, and form."""
    return "".join(material.name.zh.split()), material.form


def merge_materials(
    children: Sequence[tuple[str, Sequence[Material]]], results: Sequence[ResultLink] = ()
) -> tuple[MergedMaterial, ...]:
    """The materials of all children, each once, without those that are another child's result."""
    linked = {(link.child, link.material) for link in results}
    groups: list[_Group] = []
    for child, materials in children:
        for material in materials:
            if (child, material.code) in linked:
                continue
            group = _find_group(groups, child, material=material)
            if group is None:
                group = _Group(material)
                groups.append(group)
            group.add(child, material)
    return tuple(_merged(f"B{number}", group) for number, group in enumerate(groups, start=1))


def _find_group(groups: Sequence[_Group], child: str, *, material: Material) -> _Group | None:
    for group in groups:
        if group.fits(child, material):
            return group
    return None


def _merged(code: str, group: _Group) -> MergedMaterial:
    parts = [material for _, material in group.parts]
    names = [part.name for part in parts if part.name.bo]
    license_types = [part.license_type_code for part in parts if part.license_type_code]
    return MergedMaterial(
        code=code,
        name=next(iter(names), group.first.name),
        necessity=_strictest_necessity(parts),
        kind=min(part.kind for part in parts),
        form=_common_form(parts),
        copies=max(part.copies for part in parts),
        source=group.first.source,
        license_type_code=next(iter(license_types), None),
        needed_by=tuple(
            Need(child=child, material=material.code) for child, material in group.parts
        ),
    )


def _common_form(parts: Sequence[Material]) -> Literal["paper", "electronic", "both"]:
    form = parts[0].form
    if any(part.form != form for part in parts):
        return "both"
    return form


def _strictest_necessity(parts: Sequence[Material]) -> Literal["1", "2", "3"]:
    """1 必要 before 3 容缺后补 before 2 非必要."""
    needs = {part.necessity for part in parts}
    if "1" in needs:
        return "1"
    if "3" in needs:
        return "3"
    return "2"


def snapshot(document: BundleDocument, texts: Texts) -> BundleSnapshot:
    """The version that is published: the document, and what is computed of the children."""
    matters: list[ChildMatter] = []
    materials: list[tuple[str, Sequence[Material]]] = []
    for child in document.children:
        text = texts[child.matter_id]
        materials.append((child.code, text.document.materials))
        matters.append(
            ChildMatter(
                code=child.code,
                version=text.version,
                name=text.document.name,
                area_code=text.document.area_code,
                department_code=text.document.department_code,
            )
        )
    return BundleSnapshot(
        # Field by field: what was computed for an earlier version must not be taken over.
        code=document.code,
        name=document.name,
        aliases=document.aliases,
        summary=document.summary,
        area_code=document.area_code,
        department_code=document.department_code,
        children=document.children,
        fields=document.fields,
        results=document.results,
        matters=tuple(matters),
        materials=merge_materials(materials, document.results),
    )


def bundle_guide(
    document: BundleDocument,
    texts: Texts,
    *,
    answers: Mapping[str, Mapping[str, str]],
    bundle_id: UUID,
    version: int,
) -> BundleGuide:
    """The guide for these answers (`{child: {question: option}}`).

    Raises:
        InvalidInputError: naming every wrong answer of every child.
    """
    guides = _child_guides(document, texts, answers=answers)
    materials: list[tuple[str, Sequence[Material]]] = []
    asked: set[tuple[str, str]] = set()
    for child in guides:
        materials.append((child.code, child.guide.materials))
        asked.update((child.code, material.code) for material in child.guide.materials)
    results = tuple(link for link in document.results if (link.child, link.material) in asked)
    whole = BundleGuide(
        bundle_id=bundle_id,
        version=version,
        name=document.name,
        children=tuple(guides),
        fields=document.fields,
        materials=merge_materials(materials, results),
        results=results,
    )
    return whole.model_copy(update={"digest": guide_digest(whole)})


def _child_guides(
    document: BundleDocument, texts: Texts, *, answers: Mapping[str, Mapping[str, str]]
) -> list[ChildGuide]:
    codes = {child.code for child in document.children}
    errors: list[FieldError] = []
    for code in answers:
        if code not in codes:
            errors.append(
                FieldError(
                    f"answers.{code}", "exists", message="there is no child {child}", child=code
                )
            )
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
        except InvalidInputError as error:
            for one in error.errors:
                question = one.field.removeprefix("answers.")
                errors.append(one.renamed(f"answers.{child.code}.{question}"))
        else:
            guides.append(ChildGuide(code=child.code, after=child.after, guide=guide))
    if errors:
        raise InvalidInputError("the answers do not lead through the questions", errors)
    return guides
