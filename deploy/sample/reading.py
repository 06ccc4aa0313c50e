"""Reading one matter of the sample: short words of the tables become the fields of a matter document."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

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
    "decision": ("决定", "审批", "核准", "登簿", "签发", "办结", "认定", "备案", "裁决", "批准"),
    "delivery": ("发证", "送达", "制证", "发放", "交付", "拨付", "公布"),
}
MATERIAL_WORDS: dict[str, dict[str, Any]] = {
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
FEE_WORDS: dict[str, dict[str, Any]] = {
    "减免": {"reducible": True},
    "可网上缴": {},
    "另加": {"conditional": True},
}
Named = dict[str, tuple[str, str]]
"""Kind and code of every part that an answer may add or drop, by its name."""


def matter(entry: dict[str, Any], papers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The fields of a matter document that do not depend on who offers it."""
    legal, promised = entry["days"]
    visits = entry.get("visits", VISITS[entry["depth"]])
    fees = list(_coded("F", map(_fee, entry.get("fees", []))))
    conditions = list(_coded("C", map(_condition, entry["if"])))
    materials = list(_coded("M", map(partial(_material, papers=papers), entry.get("needs", []))))
    steps = list(_coded("S", map(_step, entry.get("steps", "受理 当场办结").split())))
    named: Named = {part["text"]["zh"]: ("conditions", part["code"]) for part in conditions}
    named |= {part["name"]["zh"]: ("materials", part["code"]) for part in materials}
    named |= {part["name"]: ("fees", part["code"]) for part in fees}
    named |= {part["name"]: ("steps", part["code"]) for part in steps}
    return {
        "name": {"zh": entry["name"], "bo": entry.get("bo")},
        "aliases": entry.get("aka", "").split(),
        "type": KINDS[entry["kind"]],
        "object_types": [OBJECTS[letter] for letter in entry["who"]],
        "topics": entry["topic"].split(),
        "project_type": "1" if promised == 0 else "2",
        "legal_days": legal,
        "promised_days": promised,
        "stages": list(STAGES[entry["depth"]]),
        "visits": visits,
        "visits_reason": entry.get("visit", "核验原件") if visits else None,
        "handling_forms": ["1", "2", "3"] if entry["depth"] > 2 else ["1"],
        "result": _result(entry["result"], papers) if "result" in entry else None,
        "charged": bool(fees),
        "pay_online": any("可网上缴" in fee for fee in entry.get("fees", [])),
        "fees": fees,
        "conditions": conditions,
        "materials": materials,
        "steps": steps,
        "basis": [_basis(law) for law in entry.get("law", [])],
        "faq": [_faq(text) for text in entry.get("faq", [])],
        **_tree(entry.get("tree", []), named),
    }


def _coded(letter: str, parts: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return ({"code": f"{letter}{number}", **part} for number, part in enumerate(parts, start=1))


def _starred(text: str) -> tuple[str, bool]:
    return text.removeprefix("*"), text.startswith("*")


def _condition(text: str) -> dict[str, Any]:
    zh, conditional = _starred(text)
    return {"text": {"zh": zh}, "conditional": conditional}


def _material(text: str, papers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    name, words, notes = _fields(text, 3)
    found: dict[str, Any] = {"name": {"zh": name}, "fill_notes": notes or None}
    if paper := papers.get(name):
        found["name"]["bo"] = paper.get("bo")
        found |= {"source": "20", "source_org": paper["by"], "license_type_code": paper["code"]}
    for word in words.split():
        found |= (
            {"copies": int(word[:-1])} if re.fullmatch("[0-9]+份", word) else MATERIAL_WORDS[word]
        )
    return found


def _fee(text: str) -> dict[str, Any]:
    name, standard, basis, words = _fields(text, 4)
    amount = re.search(r"([0-9]+)元", standard)
    found: dict[str, Any] = {"name": name, "standard": standard, "basis": basis}
    found["amount_fen"] = int(amount[1]) * 100 if amount else None
    for word in words.split():
        found |= FEE_WORDS[word]
    return found


def _step(text: str) -> dict[str, Any]:
    word, conditional = _starred(text)
    name = word.rstrip("0123456789")
    role = next((role for role, words in ROLES.items() if any(w in name for w in words)), "review")
    return {
        "name": name,
        "days": int(word[len(name) :] or 0),
        "role": role,
        "conditional": conditional,
    }


def _result(text: str, papers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    word, _, name = text.partition(" ")
    kind, type_ = RESULTS[word]
    code = papers[name]["code"] if name in papers else None
    return {
        "kind": kind,
        "type": type_,
        "name": name,
        "sample": f"{name}（样本）",
        "license_type_code": code,
    }


def _basis(text: str) -> dict[str, Any]:
    found = re.fullmatch(r"(.+?)(第[一二三四五六七八九十百零]+条.*)?", text)
    title = found[1] if found else text
    law = title.endswith("法") and not title.endswith("办法")
    return {
        "title": f"中华人民共和国{title}" if law else title,
        "article": found[2] if found else None,
    }


def _faq(text: str) -> dict[str, str]:
    question, mark, answer = text.partition("？")
    return {"question": question + mark, "answer": answer}


def _fields(text: str, number: int) -> list[str]:
    parts = [part.strip() for part in text.split("|")]
    return [*parts, *[""] * (number - len(parts))]


def handling_items(text: str, code: str) -> Iterator[dict[str, Any]]:
    """业务办理项 of the matter with this implementing code; a number after the name is the promised days."""
    for number, word in enumerate(text.split(), start=1):
        name = word.rstrip("0123456789")
        item: dict[str, Any] = {
            "sequence": f"{number:02d}",
            "code": f"{code}{number:02d}",
            "name": {"zh": name},
        }
        if days := word[len(name) :]:
            item |= {"promised_days": int(days), "project_type": "2" if int(days) else "1"}
        yield item


def catalog_entry(code: str, text: dict[str, Any], *, counties: bool) -> dict[str, Any] | None:
    """基本目录 of a matter with a legal basis; the levels are those that offer it."""
    if not text["basis"]:
        return None
    law = text["basis"][0]
    return {
        "code": code,
        "name": text["name"]["zh"],
        "type": text["type"],
        "by_law": law["title"] + (law["article"] or ""),
        "use_levels": ["3", "4"] if counties else ["3"],
    }


def _tree(questions: list[Any], named: Named) -> dict[str, Any]:
    if not questions:
        return {}
    last = len(questions)
    return {
        "first_question": "Q1",
        "questions": [
            {
                "code": f"Q{number}",
                "text": {"zh": text},
                "options": [
                    _option(option, f"Q{number + 1}" if number < last else None, named)
                    for option in options
                ],
            }
            for number, (text, *options) in enumerate(questions, start=1)
        ],
    }


def _option(option: list[str], following: str | None, named: Named) -> dict[str, Any]:
    code, text, *effects = option
    changes: dict[str, dict[str, list[str]]] = {"+": {}, "-": {}}
    for effect in effects:
        sign, name = effect[0], effect[1:]
        if sign == ">":
            following = None if name == "0" else f"Q{name}"
        else:
            kind, part = named[name]
            changes[sign].setdefault(kind, []).append(part)
    return {
        "code": code,
        "text": {"zh": text},
        "next": following,
        "add": changes["+"],
        "drop": changes["-"],
    }


def license_type(
    name: str,
    paper: dict[str, Any],
    fields: dict[str, dict[str, Any]],
    issuers: list[dict[str, str]],
) -> dict[str, Any]:
    """证照类型: the definition of a paper's licence type; the first of `issuers` defines it."""
    valid = paper.get("valid")
    return {
        "name": {"zh": name, "bo": paper["bo"]},
        "defining_body": issuers[0],
        "issuing_bodies": issuers,
        "holder_kind": HOLDERS[paper["who"]],
        "validity": {"unit": UNITS[valid[-1]], "amount": int(valid[:-1])}
        if valid
        else {"unit": "none"},
        "fields": [_license_field(word, fields[word]) for word in paper.get("has", "").split()],
        "template": "permit" if "许可" in name else "certificate",
    }


def _license_field(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """One field of a licence: text, unless it has choices or says otherwise."""
    kind = "choice" if "choices" in entry else entry.get("kind", "text")
    label = {"zh": entry["zh"], "bo": entry["bo"]}
    rest = {key: value for key, value in entry.items() if key in {"choices", "sensitivity"}}
    return {"name": name, "label": label, "kind": kind, **rest}
