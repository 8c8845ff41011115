from datetime import UTC, datetime, timedelta

import pytest

from unicom_coupon_sdk.domain.token import STEP_S, QrToken, coupon_of_token, make_token
from unicom_coupon_sdk.errors import ValidationError, VerificationError

KEY = b"t" * 32
AT = datetime(2026, 5, 20, 5, 29, 30, tzinfo=UTC)
COUPON = "01JABCDEFGHJKMNPQRSTVWXYZ0"


def test_a_fresh_token_shows_its_coupon():
    assert coupon_of_token(make_token(COUPON, at=AT, key=KEY), at=AT, key=KEY) == COUPON


@pytest.mark.parametrize(
    ("later_s", "good"), [(-31, False), (-30, True), (29, True), (59, True), (60, False), (3600, False)]
)
def test_a_token_is_good_in_its_own_step_and_those_beside_it(later_s, good):
    token = make_token(COUPON, at=AT, key=KEY)
    at = AT + timedelta(seconds=later_s)
    assert AT.timestamp() % STEP_S == 0
    if good:
        assert coupon_of_token(token, at=at, key=KEY) == COUPON
    else:
        with pytest.raises(VerificationError, match=r"token\.stale"):
            coupon_of_token(token, at=at, key=KEY)


def test_a_token_made_with_another_key_is_forged():
    with pytest.raises(VerificationError, match=r"token\.forged"):
        coupon_of_token(make_token(COUPON, at=AT, key=b"u" * 32), at=AT, key=KEY)


def test_a_token_moved_to_another_coupon_or_step_is_forged():
    text = make_token(COUPON, at=AT, key=KEY).reveal()
    step = text.split(".")[2]
    for changed in (text.replace("01JABC", "01JABD"), text.replace(step, str(int(step) + 1)), text[:-1] + "A"):
        if changed != text:
            with pytest.raises(VerificationError, match=r"token\.forged"):
                coupon_of_token(QrToken(changed), at=AT, key=KEY)


@pytest.mark.parametrize(
    "text", ["UC1", "UC2.x.1.AAAA", "UC1..1.AAAA", "UC1.x.one.AAAA", "UC1.x.１.AAAA", "28763443825664394"]
)
def test_another_text_is_not_a_token(text):
    with pytest.raises(ValidationError, match=r"token\.shape"):
        coupon_of_token(QrToken(text), at=AT, key=KEY)


def test_a_platforms_own_payment_code_is_not_ours():
    assert make_token(COUPON, at=AT, key=KEY).is_ours
    assert not QrToken("28763443825664394").is_ours
