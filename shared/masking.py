"""Masks of personal data for every answer (norms: 个人信息保护法; common practice)."""


def mask_name(name: str) -> str:
    """Keep the first character or, of a transliterated name, the first part: 张*, 张**, 扎西**."""
    name = name.strip()
    if not name:
        return ""
    first = 2 if len(name) >= 4 and all("\u4e00" <= c <= "\u9fff" for c in name) else 1
    if "\u0f0b" in name:
        first = name.index("\u0f0b")
    return name[:first] + "*" * max(min(len(name) - first, 2), 1)


def mask_id_number(number: str) -> str:
    """Keep three and four: 540***********0011."""
    return number[:3] + "*" * (len(number) - 7) + number[-4:] if len(number) > 7 else "*" * len(number)


def mask_phone(phone: str) -> str:
    """Keep three and four: 138****1234."""
    return phone[:3] + "****" + phone[-4:] if len(phone) >= 11 else "*" * len(phone)


def mask_address(address: str) -> str:
    """Keep down to the district, county or street: 拉萨市城关区***."""
    for ending in ("街道", "镇", "乡", "区", "县", "市"):
        place = address.find(ending, 1)
        if 0 < place < len(address) - len(ending):
            return address[: place + len(ending)] + "***"
    return "***"
