"""The sample: areas, departments, and matters with guides. Department codes have the right structure and made-up numbers."""

from typing import Any

from shared.codes import uscc_check_character

CITY = "540100000000"
AREAS = {
    CITY: ("拉萨市", "ལྷ་ས་གྲོང་ཁྱེར།"),
    "540102000000": ("城关区", "ཁྲིན་ཀོན་ཆུས།"),
    "540103000000": ("堆龙德庆区", "སྟོད་ལུང་བདེ་ཆེན་ཆུས།"),
    "540104000000": ("达孜区", "སྟག་རྩེ་ཆུས།"),
    "540121000000": ("林周县", "ལྷུན་གྲུབ་རྫོང་།"),
    "540122000000": ("当雄县", "འདམ་གཞུང་རྫོང་།"),
    "540123000000": ("尼木县", "སྙེ་མོ་རྫོང་།"),
    "540124000000": ("曲水县", "ཆུ་ཤུར་རྫོང་།"),
    "540127000000": ("墨竹工卡县", "མལ་གྲོ་གུང་དཀར་རྫོང་།"),
}
BUREAUS = {
    "market": "市场监督管理局",
    "police": "公安局",
    "health": "卫生健康委员会",
    "ecology": "生态环境局",
    "urban": "城市管理局",
    "civil": "民政局",
    "labour": "人力资源和社会保障局",
    "land": "自然资源局",
    "housing": "住房和城乡建设局",
    "education": "教育局",
}
APPLICATION = ("申请书", "10", None)
ID_CARD = ("居民身份证", "20", "SFZ")
BUSINESS = ("营业执照", "20", "YYZZ")
RENT = ("房屋租赁合同或产权证明", "10", None)

Row = tuple[str, str, str, str, int, int, str, int, tuple[tuple[str, str, str | None], ...]]
# Name, colloquial words, bureau, type, legal days, promised days, stages online, visits, materials.
MATTERS: tuple[Row, ...] = (
    ("我要开茶馆", "开甜茶馆", "market", "01", 20, 10, "1234", 1, (APPLICATION, BUSINESS, ID_CARD, RENT)),
    ("我要开商店", "开小卖部", "market", "01", 20, 8, "1234", 1, (APPLICATION, BUSINESS, ID_CARD, RENT)),
    ("我要开旅馆", "开民宿 开宾馆", "police", "01", 20, 12, "123", 1, (APPLICATION, BUSINESS, ID_CARD, RENT, ("消防检查合格证明", "20", "XFHG"))),
    ("我要开餐馆", "开饭馆 开饭店", "market", "01", 20, 10, "1234", 1, (APPLICATION, BUSINESS, ID_CARD, RENT, ("从业人员健康证明", "20", "JKZ"))),
    ("生育登记", "准生证", "health", "07", 5, 0, "12345", 0, (ID_CARD, ("结婚证", "20", "JHZ"))),
    ("排污许可证核发", "排污证", "ecology", "01", 30, 15, "1234", 1, (APPLICATION, BUSINESS, ("自行监测方案", "10", None))),
    ("设置大型户外广告及在城市建筑物设置宣传品审批", "广告牌", "urban", "01", 20, 5, "12345", 0, (APPLICATION, BUSINESS, ("效果图", "10", None))),
    ("出生登记", "新生儿落户", "police", "07", 5, 1, "123", 1, (("出生医学证明", "20", "CSYX"), ID_CARD)),
    ("居民身份证补领", "身份证丢了", "police", "07", 60, 20, "12", 2, (("户口簿", "20", "HKB"),)),
    ("个体工商户设立登记", "办营业执照", "market", "07", 15, 1, "12345", 0, (APPLICATION, ID_CARD, RENT)),
    ("不动产转移登记", "过户 房产证", "land", "07", 30, 5, "123", 1, (APPLICATION, ID_CARD, ("不动产权证书", "20", "BDC"))),
    ("灵活就业人员参加社会保险登记", "交社保", "labour", "20", 15, 0, "12345", 0, (ID_CARD,)),
    ("老年优待证办理", "老年证", "civil", "20", 10, 3, "123", 1, (ID_CARD, ("近期照片", "10", None))),
    ("教师资格认定", "教师证", "education", "07", 30, 20, "123", 1, (APPLICATION, ID_CARD, ("学历证书", "20", "XLZ"))),
    ("建筑工程施工许可证核发", "施工许可", "housing", "01", 15, 7, "12345", 0, (APPLICATION, ("建设工程规划许可证", "20", "GHXK"))),
    ("最低生活保障对象认定", "低保", "civil", "05", 30, 20, "12", 2, (APPLICATION, ID_CARD, ("家庭收入说明", "10", None))),
    ("婚姻登记", "结婚", "civil", "07", 1, 0, "1", 1, (ID_CARD, ("户口簿", "20", "HKB"))),
)  # fmt: skip


def department_code(area: str, bureau: str) -> str:
    """A unified social credit code with the right check character and a made-up organisation number."""
    number = f"11{area[:6]}MB0Q{list(BUREAUS).index(bureau):02d}{area[4:6]}0"[:17]
    return number + uscc_check_character(number)


def directory() -> dict[str, Any]:
    """Areas and departments as `PUT /matters/directory` takes them."""
    areas = [{"code": code, "name": {"zh": zh, "bo": bo}} for code, (zh, bo) in AREAS.items()]
    departments = [
        {"area_code": area, "code": department_code(area, bureau), "name": {"zh": names[0] + title}}
        for area, names in AREAS.items()
        for bureau, title in BUREAUS.items()
    ]
    return {"areas": areas, "departments": departments}


def documents() -> list[dict[str, Any]]:
    """Every matter in the city and in each district and county, as matter documents."""
    return [_document(area, number, row) for area in AREAS for number, row in enumerate(MATTERS, start=1)]


def _document(area: str, number: int, row: Row) -> dict[str, Any]:
    name, aliases, bureau, kind, legal, promised, stages, visits, materials = row
    unit, level = department_code(area, bureau), "3" if area == CITY else "4"
    basic = f"00{kind}17{number:03d}000"
    place = AREAS[area][0]
    licence = kind == "01"
    rented = name.startswith("我要开")
    return {
        "code": unit + level + basic,
        "catalog_code": basic,
        "name": {"zh": name},
        "aliases": aliases.split(),
        "type": kind,
        "area_code": area,
        "department_code": unit,
        "level": level,
        "object_types": ["1", "2"],
        "topics": [BUREAUS[bureau].removesuffix("局")],
        "project_type": "1" if promised == 0 else "2",
        "legal_days": legal,
        "promised_days": promised,
        "stages": list(stages),
        "visits": visits,
        "visits_reason": "核验原件, 领取结果" if visits else None,
        "handling_forms": ["1", "2"],
        "result": {"kind": "license", "type": "出证", "name": f"{name}结果证照", "sample": "见窗口样本", "license_type_code": f"ZZ{number:03d}"} if licence else None,
        "conditions": [{"code": "C1", "text": {"zh": "申请人具有相应的民事行为能力"}}],
        "materials": [_material(n, m, conditional=rented and m is RENT) for n, m in enumerate(materials, start=1)],
        "steps": _steps(promised),
        "places": [{"name": f"{place}政务服务中心", "address": f"{place}政务服务中心一楼", "window": f"{number}号窗口", "hours": "09:30-13:00, 15:30-18:00"}],
        "consult_phone": "0891-6000001",
        "complaint_phone": "0891-6000002",
        "basis": [] if kind == "20" else [{"title": "中华人民共和国行政许可法" if licence else "国务院关于加快推进全国一体化政务服务平台建设的指导意见"}],
        "faq": [{"question": "可以委托他人办理吗?", "answer": "可以, 请携带委托书和双方身份证件。"}],
        **(_tree(materials) if rented else {}),
    }  # fmt: skip


def _material(number: int, material: tuple[str, str, str | None], *, conditional: bool) -> dict[str, Any]:
    name, source, licence = material
    return {
        "code": f"M{number}",
        "name": {"zh": name},
        "source": source,
        "license_type_code": licence,
        "conditional": conditional,
    }


def _steps(promised: int) -> list[dict[str, Any]]:
    if promised == 0:
        return [{"code": "S1", "name": "当场办结", "days": 0, "role": "decision"}]
    return [
        {"code": "S1", "name": "受理", "days": 0, "role": "intake"},
        {"code": "S2", "name": "审查", "days": promised - 1, "role": "review"},
        {"code": "S3", "name": "决定", "days": 1, "role": "decision"},
    ]


def _tree(materials: tuple[tuple[str, str, str | None], ...]) -> dict[str, Any]:
    rent = f"M{materials.index(RENT) + 1}"
    own, rented = (
        {"code": "own", "text": {"zh": "登记在营业执照上的自有场所"}},
        {"code": "rent", "text": {"zh": "租用"}},
    )
    question = {
        "code": "Q1",
        "text": {"zh": "经营场所是自有还是租用?"},
        "options": [own, {**rented, "add": {"materials": [rent]}}],
    }
    return {"first_question": "Q1", "questions": [question]}
