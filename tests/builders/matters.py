"""A plausible matter document: 开茶馆 with two questions and five materials."""

from typing import Any

from shared.domain.guides import MatterDocument

CITY = "540100000000"
DEPARTMENT = "11540100MB0Q01904W"
CODE = DEPARTMENT + "3000117051000"


def a_document(**changes: Any) -> MatterDocument:
    """Passes every consistency check."""

    def material(code: str, name: str, **more: Any) -> dict[str, Any]:
        return {"code": code, "name": {"zh": name}, **more}

    document: dict[str, Any] = {
        "code": CODE,
        "catalog_code": "000117051000",
        "name": {"zh": "我要开茶馆", "bo": "ཇ་ཁང་འཛུགས་པ།"},
        "aliases": ["开甜茶馆", "茶馆经营许可"],
        "type": "01",
        "area_code": CITY,
        "department_code": DEPARTMENT,
        "object_types": ["1", "2"],
        "topics": ["食品经营"],
        "project_type": "2",
        "legal_days": 20,
        "promised_days": 10,
        "stages": ["1", "2", "3", "4"],
        "visits": 1,
        "visits_reason": "领取许可证",
        "result": {
            "kind": "license",
            "type": "出证",
            "name": "食品经营许可证",
            "sample": "样本",
            "license_type_code": "SPJY",
        },
        "conditions": [{"code": "C1", "text": {"zh": "有与经营规模相适应的场所"}}],
        "materials": [
            material("M1", "食品经营许可申请书"),
            material("M2", "营业执照", source="20", license_type_code="YYZZ"),
            material("M3", "经营场所布局图"),
            material("M4", "房屋租赁合同", conditional=True),
            material("M5", "不动产权证书", conditional=True),
        ],
        "steps": [
            {"code": "S1", "name": "受理", "days": 1, "role": "intake"},
            {"code": "S2", "name": "审查", "days": 6, "role": "review"},
            {"code": "S3", "name": "决定", "days": 2, "role": "decision"},
            {"code": "S4", "name": "送达", "days": 1, "role": "delivery"},
        ],
        "places": [
            {
                "name": "市政务服务中心",
                "address": "拉萨市城关区江苏路",
                "window": "12号窗口",
                "hours": "09:30-13:00, 15:30-18:00",
            }
        ],
        "consult_phone": "0891-6000001",
        "complaint_phone": "0891-6000002",
        "basis": [{"title": "中华人民共和国食品安全法"}],
        "faq": [{"question": "多久可以办好?", "answer": "受理后十个工作日内。"}],
        "first_question": "Q1",
        "questions": [
            {
                "code": "Q1",
                "text": {"zh": "经营场所是自有还是租用?"},
                "options": [
                    {
                        "code": "own",
                        "text": {"zh": "自有"},
                        "next": "Q2",
                        "add": {"materials": ["M5"]},
                    },
                    {
                        "code": "rent",
                        "text": {"zh": "租用"},
                        "next": "Q2",
                        "add": {"materials": ["M4"]},
                    },
                ],
            },
            {
                "code": "Q2",
                "text": {"zh": "是否现场制作食品?"},
                "options": [
                    {"code": "yes", "text": {"zh": "是"}},
                    {"code": "no", "text": {"zh": "否"}, "drop": {"materials": ["M3"]}},
                ],
            },
        ],
        **changes,
    }
    return MatterDocument.model_validate(document)
