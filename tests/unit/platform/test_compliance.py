import pytest

from unicom_coupon_sdk.errors import ComplianceError
from unicom_coupon_sdk.platform.compliance import ComplianceShim, FieldRule

SHIM = ComplianceShim(
    "testpay",
    [
        FieldRule(field="order", send=True, keep_days=0, log=False, source="t"),
        FieldRule(field="id", send=True, keep_days=30, log=True, source="t"),
        FieldRule(field="face", send=False, keep_days=0, log=False, source="t"),
    ],
)


def test_allowed_fields_pass_unchanged_however_deep():
    body = {"order": {"id": "1"}, "id": "2"}
    assert SHIM.outgoing(body) is body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"face": "x"}, "face"),
        ({"colour": "x"}, "colour"),
        ({"order": {"face": "x"}}, "order.face"),
        ({"order": [{"id": "1"}, {"colour": "x"}]}, "order.colour"),
    ],
)
def test_a_field_that_may_not_be_sent_is_named_and_not_shown(body, field):
    with pytest.raises(ComplianceError) as refused:
        SHIM.outgoing(body)
    assert refused.value.field == field
    assert refused.value.code == "compliance.not_sent"


def test_only_what_may_be_kept_is_kept_and_only_what_may_be_logged_is_logged():
    fields = {"order": "1", "id": "2", "face": "3", "new": "4"}
    assert SHIM.kept(fields) == {"id": "2"}
    assert SHIM.loggable(fields) == {"id": "2"}
