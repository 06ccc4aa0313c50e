"""评价渠道: the national codes (`pf`, norms §1.3) and which of the city's own channels goes by which."""

from typing import Literal

SubChannel = Literal[
    "site",
    "app",
    "mini_program",
    "official_account",
    "window_qr",
    "tablet",
    "kiosk",
    "evaluator",
    "hotline_12345",
    "sms_link",
]

CHANNELS: dict[str, tuple[SubChannel, ...]] = {
    "1": ("site",),  # PC端: 政务服务网
    "2": ("app", "mini_program", "official_account"),  # 移动端
    "3": ("window_qr",),  # 二维码
    "4": ("tablet",),  # 政务大厅平板电脑
    "5": ("kiosk", "evaluator"),  # 政务大厅其他终端
    "6": ("hotline_12345",),  # 电话
    "7": ("sms_link",),  # 短信
}
HOTLINE = "6"
HALL_DEVICES = frozenset({"4", "5"})
"""These say which terminal they are."""


def channel_fault(pf: str, sub_channel: str, terminal: str | None) -> tuple[str, str, str] | None:
    """Field, rule and words of what is wrong, or None."""
    if sub_channel not in CHANNELS[pf]:
        return (
            "sub_channel",
            "belongs_to_pf",
            f"with pf {pf} it is one of: {', '.join(CHANNELS[pf])}",
        )
    if pf in HALL_DEVICES and not terminal:
        return "terminal", "required", "a device of a hall says which it is"
    return None
