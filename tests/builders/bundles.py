"""A plausible bundle: 开茶馆.

A trade register entry, and the food licence that needs its result.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from shared.domain.bundles import BundleDocument
from shared.domain.guides import MatterDocument
from tests.builders.matters import CITY, DEPARTMENT, a_document

TRADE = "trade"
LICENCE = "licence"
TRADE_CODE = DEPARTMENT + "3000717001000"


def the_licence(**changes: Any) -> MatterDocument:
    """Needs the business licence (M2) that the other child gives."""
    return a_document(**changes)


def the_trade_register(**changes: Any) -> MatterDocument:
    """Gives the business licence; shares one material with the other child."""
    values: dict[str, Any] = {
        "code": TRADE_CODE,
        "catalog_code": "000717001000",
        "name": {"zh": "个体工商户设立登记", "bo": "སྒེར་གྱི་བཟོ་ཚོང་ཐོ་འགོད།"},
        "aliases": [],
        "type": "07",
        "first_question": None,
        "questions": [],
        "result": {
            "kind": "license",
            "type": "出证",
            "name": "营业执照",
            "sample": "样本",
            "license_type_code": "YYZZ",
        },
        "materials": [
            {"code": "T1", "name": {"zh": "个体工商户开业登记申请表"}},
            {"code": "T2", "name": {"zh": "房屋租赁合同"}},
        ],
    }
    return MatterDocument.model_validate(
        {**a_document().model_dump(mode="json"), **values, **changes}
    )


def a_bundle(matters: Mapping[str, UUID], **changes: Any) -> BundleDocument:
    """The licence waits for the register's entry, whose result is its material M2."""
    document: dict[str, Any] = {
        "code": "TEAHOUSE",
        "name": {"zh": "开茶馆一件事", "bo": "ཇ་ཁང་འཛུགས་པའི་དོན་གཅིག"},
        "aliases": ["开甜茶馆"],
        "area_code": CITY,
        "department_code": DEPARTMENT,
        "children": [
            {"code": TRADE, "matter_id": matters[TRADE], "fields": ["shop", "area"]},
            {"code": LICENCE, "matter_id": matters[LICENCE], "after": [TRADE], "fields": ["shop"]},
        ],
        "fields": [
            {"code": "shop", "label": {"zh": "字号名称", "bo": "ཚོང་ཁང་གི་མིང་།"}},
            {"code": "area", "label": {"zh": "经营面积"}, "kind": "number", "required": False},
        ],
        "results": [{"of": TRADE, "child": LICENCE, "material": "M2"}],
        **changes,
    }
    return BundleDocument.model_validate(document)
