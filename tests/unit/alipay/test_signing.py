"""The comparison of canonical strings: it names what differs, and never shows a value."""

import pytest

from unicom_coupon_adapters.alipay.envelope import cut
from unicom_coupon_adapters.alipay.signing import canonical, canonical_difference
from unicom_coupon_sdk.errors import ForgedMessage

OURS = {
    "app_id": "2021000000000001",
    "biz_content": '{"a":"x&timestamp=1","b":"<>"}',
    "charset": "utf-8",
    "method": "alipay.trade.query",
    "notify_url": "https://m.invalid/n?a=1&b=2",
    "sign_type": "RSA2",
    "timestamp": "2026-01-15 10:20:31",
    "version": "1.0",
}
TEXT = canonical(OURS)


def escaped(text):
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")


@pytest.mark.parametrize("escape", [escaped, lambda text: text.replace('"', "&quot;"), lambda text: text])
def test_equal_texts_differ_nowhere(escape):
    assert canonical_difference(OURS, f"验签出错，网关生成的验签字符串为：{escape(TEXT)}") == ""


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_parameter_that_differs_is_named_and_its_value_is_not(name):
    theirs = canonical({**OURS, name: OURS[name][:-1] + "~"})
    assert canonical_difference(OURS, f"网关生成的验签字符串为：{escaped(theirs)}") == name


def test_a_message_without_the_string_says_nothing():
    assert canonical_difference(OURS, "验签出错") == ""


@pytest.mark.parametrize(
    "body",
    [
        b'{"alipay_x_response":{},"alipay_x_response":{},"sign":"x"}',
        b'{"alipay_x_response":{},"error_response":{},"sign":"x"}',
        b'{"alipay_x_response":[],"sign":"x"}',
        b'{"alipay_x_response":{},"sign":1}',
        b'{"alipay_x_response":{},"sign":"x"} trailing',
        b'{"alipay_x_response":{} "sign":"x"}',
        b'{1:{},"sign":"x"}',
        b"[]",
        b"{}",
        b"",
        b"\xff\xfe",
        b'{"alipay_x_response":' + b"[" * 100_000,
    ],
)
def test_an_ambiguous_envelope_is_not_cut(body):
    with pytest.raises(ForgedMessage) as caught:
        cut(body, method="alipay.x")
    assert caught.value.code == "alipay.answer_shape"
