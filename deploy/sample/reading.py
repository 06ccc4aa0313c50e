"""Reading one matter of the sample: short words of the tables become fields of a document."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from deploy.sample.tables import Document, LicenseField, Matter, Paper

KINDS = {
    "许可": "01",
    "给付": "05",
    "确认": "07",
    "奖励": "08",
    "裁决": "09",
    "其他": "10",
    "服务": "20",
}
OBJECTS = {"个": "1", "企": "2", "事": "3", "社": "4", "机": "5", "其": "6"}
RESULTS = {"证": ("license", "出证"), "批复": ("approval", "审批"), "文": ("document", "出文")}
STAGES = {1: "1", 2: "12", 3: "1234", 4: "123456"}
VISITS = {1: 2, 2: 2, 3: 1, 4: 0}
ROLES = {
    "intake": ("受理", "收件", "申请", "报名"),
    "decision": (
        *("决定", "审批", "核准", "登簿", "签发", "办结"),
        *("认定", "备案", "裁决", "批准"),
    ),
    "delivery": ("发证", "送达", "制证", "发放", "交付", "拨付", "公布"),
}
MATERIAL_WORDS: dict[str, Document] = {
    "原件": {"kind": "1"},
    "复印件": {"kind": "2"},
    "纸质": {"form": "paper"},
    "电子": {"form": "electronic"},
    "非必要": {"necessity": "2"},
    "容缺": {"necessity": "3"},
    "承诺": {"commitment_allowed": True},
    "核发": {"source": "20"},
    "第三方": {"source": "99"},
    "另加": {"conditional": True},
}
HOLDERS = {"个": "person", "企": "organisation", "皆": "any"}
UNITS = {"年": "years", "月": "months", "日": "days"}
FEE_WORDS: dict[str, Document] = {
    "减免": {"reducible": True},
    "可网上缴": {},
    "另加": {"conditional": True},
}
DEFAULT_STEPS = "受理 当场办结"


@dataclass
class Parts:
    """The parts of a matter that have codes, of one kind: conditions, materials, fees or steps."""

    kind: str
    letter: str
    documents: list[Document] = field(default_factory=list[Document])
    codes: dict[str, str] = field(default_factory=dict[str, str])
    """Code of every part by its name: an answer of the question tree names parts."""

    def add(self, name: str, document: Document) -> None:
        code = f"{self.letter}{len(self.documents) + 1}"
        self.documents.append({"code": code, **document})
        self.codes[name] = code


def matter(
    entry: Matter, papers: Mapping[str, Paper], *, type_codes: Mapping[str, str]
) -> Document:
    """The fields of a matter document that do not depend on who offers it.

    `type_codes` holds the code of the licence type of each of the `papers`.
    """
    legal, promised = entry["days"]
    # In this order, an answer that names a step and a material alike means the step.
    parts = [
        _steps(entry),
        _fees(entry),
        _materials(entry, papers, type_codes=type_codes),
        _conditions(entry),
    ]
    return {
        "name": {"zh": entry["name"], "bo": entry.get("bo")},
        "aliases": entry.get("aka", "").split(),
        "type": KINDS[entry["kind"]],
        "object_types": [OBJECTS[letter] for letter in entry["who"]],
        "topics": entry["topic"].split(),
        "project_type": _project_type(promised),
        "legal_days": legal,
        "promised_days": promised,
        **_online(entry),
        "result": _result(entry, type_codes),
        "charged": bool(entry.get("fees")),
        "pay_online": any("可网上缴" in fee for fee in entry.get("fees", [])),
        **{part.kind: part.documents for part in parts},
        "basis": [_basis(law) for law in entry.get("law", [])],
        "faq": [_faq(text) for text in entry.get("faq", [])],
        **_tree(entry.get("tree", []), parts),
    }


def _project_type(promised_days: int) -> str:
    """项目类型: 1 is settled on the spot (即办件), 2 has a promised term (承诺件)."""
    return "1" if promised_days == 0 else "2"


def _online(entry: Matter) -> Document:
    depth = entry["depth"]
    visits = entry.get("visits", VISITS[depth])
    reason = entry.get("visit", "核验原件") if visits else None
    forms = ["1", "2", "3"] if depth > 2 else ["1"]
    return {
        "stages": list(STAGES[depth]),
        "visits": visits,
        "visits_reason": reason,
        "handling_forms": forms,
    }


def _without_star(text: str) -> tuple[str, bool]:
    """The text, and whether only an answer adds the part."""
    return text.removeprefix("*"), text.startswith("*")


def _conditions(entry: Matter) -> Parts:
    parts = Parts("conditions", "C")
    for text in entry["if"]:
        name, conditional = _without_star(text)
        parts.add(name, {"text": {"zh": name}, "conditional": conditional})
    return parts


def _materials(
    entry: Matter, papers: Mapping[str, Paper], *, type_codes: Mapping[str, str]
) -> Parts:
    parts = Parts("materials", "M")
    for text in entry.get("needs", []):
        name, words, notes = _columns(text, 3)
        document: Document = {"name": {"zh": name}, "fill_notes": notes or None}
        if name in papers:
            paper = papers[name]
            document["name"] = {"zh": name, "bo": paper["bo"]}
            document["source"] = "20"
            document["source_org"] = paper["by"]
            document["license_type_code"] = type_codes[name]
        for word in words.split():
            if re.fullmatch("[0-9]+份", word):
                document["copies"] = int(word[:-1])
            else:
                document |= MATERIAL_WORDS[word]
        parts.add(name, document)
    return parts


def _fees(entry: Matter) -> Parts:
    parts = Parts("fees", "F")
    for text in entry.get("fees", []):
        name, standard, basis, words = _columns(text, 4)
        document: Document = {"name": name, "standard": standard, "basis": basis}
        amount = re.search(r"([0-9]+)元", standard)
        document["amount_fen"] = int(amount[1]) * 100 if amount else None
        for word in words.split():
            document |= FEE_WORDS[word]
        parts.add(name, document)
    return parts


def _steps(entry: Matter) -> Parts:
    parts = Parts("steps", "S")
    for text in entry.get("steps", DEFAULT_STEPS).split():
        word, conditional = _without_star(text)
        name, days = _name_and_days(word)
        document: Document = {"name": name, "days": days or 0, "role": _role(name)}
        document["conditional"] = conditional
        parts.add(name, document)
    return parts


def _name_and_days(word: str) -> tuple[str, int | None]:
    """`审查2` as a name and the number of days that follows it."""
    name = word.rstrip("0123456789")
    digits = word[len(name) :]
    return name, int(digits) if digits else None


def _role(step: str) -> str:
    for role, words in ROLES.items():
        if any(word in step for word in words):
            return role
    return "review"


def _result(entry: Matter, type_codes: Mapping[str, str]) -> Document | None:
    if "result" not in entry:
        return None
    word, _, name = entry["result"].partition(" ")
    kind, type_ = RESULTS[word]
    return {
        "kind": kind,
        "type": type_,
        "name": name,
        "sample": f"{name}（样本）",
        "license_type_code": type_codes.get(name),
    }


def _basis(text: str) -> dict[str, str | None]:
    found = re.fullmatch(r"(.+?)(第[一二三四五六七八九十百零]+条.*)?", text)
    title, article = (found[1], found[2]) if found else (text, None)
    # Laws are quoted with their full title; regulations and measures (办法) are not laws.
    if title.endswith("法") and not title.endswith("办法"):
        title = f"中华人民共和国{title}"
    return {"title": title, "article": article}


def _faq(text: str) -> Document:
    question, mark, answer = text.partition("？")
    return {"question": question + mark, "answer": answer}


def _columns(text: str, number: int) -> list[str]:
    """The columns between `|`; those that are left out at the end are empty."""
    columns = [column.strip() for column in text.split("|")]
    return columns + [""] * (number - len(columns))


def handling_items(text: str, *, code: str) -> Iterator[Document]:
    """业务办理项 of the matter with this implementing code."""
    for number, word in enumerate(text.split(), start=1):
        name, days = _name_and_days(word)
        sequence = f"{number:02d}"
        item: Document = {"sequence": sequence, "code": code + sequence, "name": {"zh": name}}
        if days is not None:
            item |= {"promised_days": days, "project_type": _project_type(days)}
        yield item


def catalog_entry(code: str, entry: Matter) -> Document | None:
    """基本目录 of a matter with a legal basis; the levels are those that offer it."""
    laws = entry.get("law", [])
    if not laws:
        return None
    law = _basis(laws[0])
    levels = ["3", "4"] if entry.get("counties") else ["3"]
    return {
        "code": code,
        "name": entry["name"],
        "type": KINDS[entry["kind"]],
        "by_law": f"{law['title']}{law['article'] or ''}",
        "use_levels": levels,
    }


def _tree(questions: Sequence[list[str | list[str]]], parts: Sequence[Parts]) -> Document:
    if not questions:
        return {}
    documents: list[Document] = []
    for number, (text, *options) in enumerate(questions, start=1):
        next_question = f"Q{number + 1}" if number < len(questions) else None
        documents.append(
            {
                "code": f"Q{number}",
                "text": {"zh": text},
                "options": [
                    _option(option, next_question, parts=parts)
                    for option in options
                    if isinstance(option, list)
                ],
            }
        )
    return {"first_question": "Q1", "questions": documents}


def _option(
    option: Sequence[str], next_question: str | None, *, parts: Sequence[Parts]
) -> Document:
    """An option leads to `next_question` unless one of its effects says otherwise."""
    code, text, *effects = option
    changes: dict[str, dict[str, list[str]]] = {"+": {}, "-": {}}
    for effect in effects:
        sign, name = effect[0], effect[1:]
        if sign == ">":
            next_question = None if name == "0" else f"Q{name}"
        else:
            kind, part = _find_part(name, parts)
            changes[sign].setdefault(kind, []).append(part)
    return {
        "code": code,
        "text": {"zh": text},
        "next": next_question,
        "add": changes["+"],
        "drop": changes["-"],
    }


def _find_part(name: str, parts: Sequence[Parts]) -> tuple[str, str]:
    """Kind and code of the part with this name. Raises: `LookupError`."""
    for candidates in parts:
        if name in candidates.codes:
            return candidates.kind, candidates.codes[name]
    raise LookupError(f"no part of the matter is called {name}")


def license_type(
    name: str,
    paper: Paper,
    *,
    fields: Mapping[str, LicenseField],
    issuers: Sequence[Mapping[str, str]],
) -> Document:
    """证照类型: the definition of a paper's licence type; the first of `issuers` defines it."""
    words = paper.get("has", "").split()
    template = "permit" if "许可" in name else "certificate"
    return {
        "name": {"zh": name, "bo": paper["bo"]},
        "defining_body": issuers[0],
        "issuing_bodies": issuers,
        "holder_kind": HOLDERS[paper["who"]],
        "validity": _validity(paper.get("valid")),
        "fields": [_license_field(word, fields[word]) for word in words],
        "template": template,
    }


def _validity(text: str | None) -> Document:
    if text is None:
        return {"unit": "none"}
    return {"unit": UNITS[text[-1]], "amount": int(text[:-1])}


def _license_field(name: str, entry: LicenseField) -> Document:
    """One field of a licence: text, unless it has choices or says otherwise."""
    kind = "choice" if "choices" in entry else entry.get("kind", "text")
    document: Document = {"name": name, "label": {"zh": entry["zh"], "bo": entry["bo"]}}
    document["kind"] = kind
    if "choices" in entry:
        document["choices"] = entry["choices"]
    if "sensitivity" in entry:
        document["sensitivity"] = entry["sensitivity"]
    return document
