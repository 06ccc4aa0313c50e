"""What a Chinese reader must find in every problem document."""

import re
from typing import Any

QUOTED = re.compile('«[^»]*»|“[^”]*”|`[^`]*`|"[^"]*"')
CHINESE = re.compile("[\u4e00-\u9fff]")
ENGLISH = re.compile(r"[A-Za-z]+(?:['’-][A-Za-z]+)*(?:,?\s+[A-Za-z]+(?:['’-][A-Za-z]+)*){2}")
"""Three English words in a row; names in quotation marks do not count."""


def text_faults(document: dict[str, Any]) -> list[str]:
    """Texts of a problem that are not Chinese, and entries without their rule or code."""
    faults: list[str] = []
    texts = {"title": document["title"], "detail": document["detail"]}
    if not document["code"]:
        faults.append("no code")
    for number, error in enumerate(document["errors"]):
        texts[f"errors[{number}] ({error['rule']})"] = error["message"]
        if not error["rule"]:
            faults.append(f"errors[{number}]: no rule")
    for name, text in texts.items():
        if not CHINESE.search(text) or ENGLISH.search(QUOTED.sub("", text)):
            faults.append(f"{name} of {document['code']}: {text}")
    return faults
