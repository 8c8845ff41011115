"""How the gateway says no: ``respCode`` and its text (sheet 10.5). Exact texts are unconfirmed; they show no value."""

from __future__ import annotations

from typing import Final

TEXTS: Final = {
    "00": "成功",
    "01": "交易失败",
    "02": "系统未开放或暂时关闭",
    "03": "交易通讯超时，请发起查询交易",
    "04": "交易状态未明，请查询对账结果",
    "05": "交易已受理，请稍后查询交易结果",
    "06": "系统繁忙，请稍后再试",
    "10": "报文格式错误",
    "11": "验证签名失败",
    "12": "重复交易",
    "13": "报文交易要素缺失",
    "31": "商户状态不正确",
    "32": "无此交易权限",
    "34": "查无此交易",
    "35": "原交易不存在或状态不正确",
    "36": "与原交易信息不符",
    "37": "已超过最大查询次数或操作过于频繁",
    "45": "原交易已被成功退货或已被成功撤销",
    "60": "交易失败，详情请咨询发卡行",
    "61": "输入的卡号或付款码无效",
    "64": "可用余额不足",
    "69": "用户支付超时",
    "98": "文件不存在",
    "99": "通用错误",
    "A6": "有缺陷的成功",
}


class Refusal(Exception):
    """The gateway's no, raised before anything was written."""

    def __init__(self, code: str, text: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.text = text if text is not None else message(code)


def message(code: str) -> str:
    """The text beside ``code``."""
    return TEXTS.get(code, "交易失败")
