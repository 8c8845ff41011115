"""Certificates: two steps, a proof only in a use_order_no, and no guessing at undocumented values."""

import pytest
from tests.driving import START, Driver
from tests.unit.alipay.peer import Peer, adapter, held, held_reversal, lost, ok, run

from unicom_coupon_sdk.errors import (
    CouponStateError,
    Effected,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
    UnsupportedOperation,
)
from unicom_coupon_sdk.platform.profile import Capability

FAMILY = "alipay.marketing.certificate.certification"
FOUND = ok(
    order_id="ORDER1",
    user_id="2088000000000002",
    certificate_prepare_info_list=[{"certificate_id": "CERT1", "encrypted_code": "ENC1", "order_id": "ORDER1"}],
)


def goods(**changes):
    return adapter(coupon_family="certificate", certificate_item_id="ITEM1", **changes)


def peer(**scripts):
    return Peer(**{f"{FAMILY}.{name}": script for name, script in scripts.items()})


def used(**row):
    return ok(certificate_use_result_list=[{"certificate_id": "CERT1", **row}])


def listed(**row):
    return ok(certificate_info_list=[{"certificate_id": "CERT1", **row}])


def test_a_redemption_prepares_and_then_uses_under_its_own_number():
    alipay = peer(prepareuse=FOUND, use=used(result="SUCCESS", use_order_no="USE1"))
    outcome = run(alipay, goods().redeem(held()))
    assert (outcome.effected, outcome.platform_no) == (Effected.DONE, "USE1")
    content = alipay.calls[1][1]
    assert content["out_biz_no"] == "RDM20260115000001"
    assert content["certificate_use_info_list"] == [{"encrypted_code": "ENC1", "use_count": 1}]
    assert (content["order_id"], content["biz_dt"]) == ("ORDER1", "2026-05-20 13:29:35")


def test_a_success_without_a_use_order_no_is_no_redemption():
    assert run(peer(prepareuse=FOUND, use=used(result="FAIL")), goods().redeem(held())).effected is Effected.NOT_DONE
    for node in (used(result="SUCCESS"), used(result="?"), ok(), ok(certificate_use_result_list=[])):
        assert run(peer(prepareuse=FOUND, use=node), goods().redeem(held())).effected is Effected.UNKNOWN


def test_no_certificate_or_several_are_not_guessed_at():
    two = ok(certificate_prepare_info_list=[FOUND["certificate_prepare_info_list"][0]] * 2)
    for node in (ok(), two, ok(certificate_prepare_info_list=[{"certificate_id": "C"}])):
        alipay = peer(prepareuse=node)
        with pytest.raises(PlatformRefused):
            run(alipay, goods().redeem(held()))
        assert len(alipay.calls) == 1


def test_a_lost_use_is_repeated_with_the_same_content():
    alipay = peer(prepareuse=FOUND, use=[lost(), used(use_order_no="USE1")])
    assert run(alipay, goods().redeem(held())).effected is Effected.DONE
    assert alipay.calls[1][1] == alipay.calls[2][1]


def test_neither_step_is_sent_after_the_deadline():
    alipay = peer(prepareuse=FOUND)
    with pytest.raises(PlatformUnavailable):
        run(alipay, goods().redeem(held(deadline=START)))
    assert alipay.calls == []


@pytest.mark.parametrize(
    ("node", "effected"),
    [
        (listed(can_use=True), Effected.NOT_DONE),
        (listed(can_use=True, times_card_info={"used_count": 1}), Effected.DONE),
        (listed(can_use=False), Effected.UNKNOWN),
        (listed(status="USED"), Effected.UNKNOWN),
        (ok(), Effected.UNKNOWN),
    ],
)
def test_a_query_reads_only_what_is_documented(node, effected):
    assert run(peer(batchquery=node), goods().query(held())).effected is effected


def test_a_reversal_goes_by_alipays_number():
    reversed_ = ok(certificate_reverse_result_list=[{"use_order_no": "USE1", "result": "SUCCESS"}])
    alipay = peer(refund=reversed_)
    late = held_reversal(platform_no="USE1")
    outcome = Driver(alipay, now=late.reversal.held_at).run(goods().reverse(late))
    assert outcome.effected is Effected.DONE
    assert alipay.calls[0][1]["use_order_no_list"] == ["USE1"]


@pytest.mark.parametrize(
    ("row", "effected"),
    [
        ({"use_order_no": "USE1", "result": "FAIL"}, Effected.NOT_DONE),
        ({"use_order_no": "USE1", "result": "MAYBE"}, Effected.UNKNOWN),
        ({"use_order_no": "OTHER", "result": "SUCCESS"}, Effected.UNKNOWN),
    ],
)
def test_a_reversals_row_must_be_ours_and_say_so(row, effected):
    late = held_reversal(platform_no="USE1")
    driver = Driver(peer(refund=ok(certificate_reverse_result_list=[row])), now=late.reversal.held_at)
    assert driver.run(goods().reverse(late)).effected is effected


def test_without_alipays_number_nothing_can_be_taken_back():
    with pytest.raises(CouponStateError):
        run(peer(), goods().reverse(held_reversal()))


def test_a_reversal_is_asked_about_by_the_same_reading():
    for node, effected in ((listed(can_use=True), Effected.DONE), (listed(can_use=False), Effected.UNKNOWN)):
        assert run(peer(batchquery=node), goods().query_reversal(held_reversal())).effected is effected


def test_goods_are_neither_made_nor_sent_nor_voided_here():
    from tests.unit.alipay.test_adapter import bind_order, issue_order

    listing = run(None, goods().issue(issue_order()))
    assert listing.refs == {"family": "certificate", "item_id": "ITEM1"}
    assert run(None, goods().bind(bind_order())).pending
    assert Capability.VOID not in goods().profile.capabilities
    with pytest.raises(UnsupportedOperation):
        run(None, goods().void(held().binding, code=held().code, listing=listing, void_no="V", reason="x"))


def test_an_unknown_use_stays_unknown():
    with pytest.raises(PlatformUnknown):
        run(peer(prepareuse=FOUND, use=lost()), goods().redeem(held()))
