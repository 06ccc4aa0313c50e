"""评价渠道: the national codes (`pf`, norms §1.3) and the city's own channels below each."""

from enum import StrEnum

from shared.errors import InvalidValueError


class Pf(StrEnum):
    """National code of the channel that a rating came by (评价渠道)."""

    PC = "1"  # PC端: 政务服务网
    MOBILE = "2"  # 移动端
    QR_CODE = "3"  # 二维码
    HALL_TABLET = "4"  # 政务大厅平板电脑
    HALL_TERMINAL = "5"  # 政务大厅其他终端
    PHONE = "6"  # 电话
    SMS = "7"  # 短信


class SubChannel(StrEnum):
    """The city's own channel."""

    SITE = "site"
    APP = "app"
    MINI_PROGRAM = "mini_program"
    OFFICIAL_ACCOUNT = "official_account"
    WINDOW_QR = "window_qr"
    TABLET = "tablet"
    KIOSK = "kiosk"
    EVALUATOR = "evaluator"
    HOTLINE_12345 = "hotline_12345"
    SMS_LINK = "sms_link"


CHANNELS: dict[Pf, tuple[SubChannel, ...]] = {
    Pf.PC: (SubChannel.SITE,),
    Pf.MOBILE: (SubChannel.APP, SubChannel.MINI_PROGRAM, SubChannel.OFFICIAL_ACCOUNT),
    Pf.QR_CODE: (SubChannel.WINDOW_QR,),
    Pf.HALL_TABLET: (SubChannel.TABLET,),
    Pf.HALL_TERMINAL: (SubChannel.KIOSK, SubChannel.EVALUATOR),
    Pf.PHONE: (SubChannel.HOTLINE_12345,),
    Pf.SMS: (SubChannel.SMS_LINK,),
}
HALL_DEVICES = frozenset({Pf.HALL_TABLET, Pf.HALL_TERMINAL})


def check_sub_channel(pf: Pf, sub_channel: SubChannel) -> None:
    """Raise `InvalidValueError` for a channel of the city that does not belong to `pf`."""
    possible = CHANNELS[pf]
    if sub_channel not in possible:
        raise InvalidValueError(
            "with pf {pf} it is one of: {channels}", pf=pf.value, channels=", ".join(possible)
        )


def check_terminal(pf: Pf, terminal: str | None) -> None:
    """Raise `InvalidValueError` for a device of a hall that does not say which one it is."""
    if pf in HALL_DEVICES and not terminal:
        raise InvalidValueError("a device of a hall says which it is")
