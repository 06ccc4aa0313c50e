"""What a bad rating was found to be about, and how it is put right."""

from enum import StrEnum


class RootCause(StrEnum):
    """差评原因."""

    ATTITUDE = "attitude"  # 服务态度
    SKILL = "skill"  # 业务不熟
    OVERDUE = "overdue"  # 超时
    EXTRA_MATERIALS = "extra_materials"  # 额外材料
    GUIDE_WRONG = "guide_wrong"  # 指南有误
    SYSTEM_FAULT = "system_fault"  # 系统故障
    REPEATED_VISITS = "repeated_visits"  # 多次跑动
    FEES = "fees"  # 收费
    VENUE = "venue"  # 场地设施
    POLICY = "policy"  # 政策本身
    MISUNDERSTANDING = "misunderstanding"  # 误解
    OTHER = "other"  # 其他


class PlanClass(StrEnum):
    """How much a rectification takes (整改方案)."""

    SIMPLE = "simple"
    COMPLEX = "complex"
