"""Closed lists of values that columns of cases hold."""

from enum import StrEnum


class ApplicantKind(StrEnum):
    """申请人类型."""

    PERSON = "person"
    ORGANISATION = "organisation"


class Channel(StrEnum):
    """Where an application came in (申请渠道)."""

    PC = "pc"
    MOBILE = "mobile"
    WINDOW = "window"
    KIOSK = "kiosk"


class CaseResult(StrEnum):
    """办结结果 of a case that was handled here."""

    GRANTED = "0"  # 准予, 出证
    REFUSED = "1"  # 不予许可
    RETURNED = "5"  # 退件
    NOT_ACCEPTED = "6"  # 不予受理


class SpecialProcedure(StrEnum):
    """特别程序 whose time is not counted: the law's own list (art. 45)."""

    HEARING = "听证"
    TENDER = "招标"
    AUCTION = "拍卖"
    INSPECTION = "检验"
    TEST = "检测"
    QUARANTINE = "检疫"
    APPRAISAL = "鉴定"
    EXPERT_REVIEW = "专家评审"


class StepRole(StrEnum):
    """Who took a step: a role of the guide's steps (办理环节), the applicant, or time."""

    INTAKE = "intake"
    REVIEW = "review"
    DECISION = "decision"
    DELIVERY = "delivery"
    APPLICANT = "applicant"
    CLOCK = "clock"


class LicenseStatus(StrEnum):
    """证照状态 (norms of GB/T 36903); only a valid license counts as evidence."""

    VALID = "01"  # 有效
    SUSPENDED = "02"  # 暂扣
    REVOKED = "03"  # 撤销
    CANCELLED = "04"  # 注销
    EXPIRED = "05"  # 失效
    TRANSFERRED = "06"  # 转出
    FORFEITED = "07"  # 吊销
    OTHER = "99"  # 其他, also before the first day of validity


class LicenseTrust(StrEnum):
    """可信等级 of a license: A is made and signed by the issuer."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"
