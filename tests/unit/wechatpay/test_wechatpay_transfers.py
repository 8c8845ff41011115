"""Pay-outs against a scripted platform: what is sent, what is refused before, and what each answer proves."""

import base64
import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from unicom_coupon_sdk.domain.coupon import Cash
from unicom_coupon_sdk.domain.order import Holder
from unicom_coupon_sdk.domain.redemption import Listing
from unicom_coupon_sdk.domain.sensitive import PlatformUser, Secret
from unicom_coupon_sdk.errors import (
    Effected,
    ForgedMessage,
    LimitError,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
    ValidationError,
)
from unicom_coupon_sdk.platform.adapter import BindOrder, IssueOrder
from unicom_coupon_sdk.platform.profile import Capability
from unicom_coupon_sdk.platform.wire import HttpAnswer, header

SCENE = {"transfer_scene_id": "1000", "transfer_activity": "新春现金券", "transfer_reward": "缴费返现"}
PLATFORM_NO = "1330000071100999991182020050700019480001"


@pytest.fixture
def payer(world):
    world.build(**SCENE, notify_url="https://shop.example/wechatpay/notify")
    return world


def cash(world, *, fen=5_000, name=None, age=timedelta(0), platform_no=None):
    held = world.held(benefit=Cash(cash_fen=fen), name="新春现金券")
    redemption = replace(held.redemption, value_fen=fen, held_at=held.redemption.held_at - age, platform_no=platform_no)
    return replace(held, redemption=redemption, payee_name=Secret(name) if name else None)


def bill(world, state="WAIT_USER_CONFIRM", **fields):
    told = {
        "out_bill_no": world.redemption_id,
        "transfer_bill_no": PLATFORM_NO,
        "create_time": "2026-05-20T13:29:35+08:00",
        "state": state,
        **fields,
    }
    return world.ok(told)


def read(world, state, **fields):
    return bill(world, state, transfer_amount=5_000, update_time="2026-05-20T13:30:35+08:00", **fields)


def pay(world, *answers, **about):
    return world.run(world.adapter.pay_out(cash(world, **about)), *answers)


def ask(world, *answers, **about):
    return world.run(world.adapter.query_pay_out(cash(world, **about)), *answers)


def test_a_transfer_carries_our_number_its_scene_and_both_reports(payer):
    pay(payer, bill(payer, package_info="affffddafdfafddffda=="))
    assert payer.body() == {
        "appid": "wx1234567889999",
        "out_bill_no": payer.redemption_id,
        "transfer_scene_id": "1000",
        "openid": payer.openid,
        "transfer_amount": 5_000,
        "transfer_remark": "新春现金券",
        "notify_url": "https://shop.example/wechatpay/notify",
        "transfer_scene_report_infos": [
            {"info_type": "活动名称", "info_content": "新春现金券"},
            {"info_type": "奖励说明", "info_content": "缴费返现"},
        ],
    }


def test_a_transfer_waits_for_its_user_with_what_the_front_end_needs(payer):
    outcome = pay(payer, bill(payer, package_info="affffddafdfafddffda=="))
    assert outcome.effected is Effected.PENDING
    assert outcome.platform_no == PLATFORM_NO
    assert outcome.refs == {"transfer_bill_no": PLATFORM_NO}
    assert outcome.instructions == {
        "mchId": "1900009191",
        "appId": "wx1234567889999",
        "package": "affffddafdfafddffda==",
    }
    assert "affff" not in repr(outcome)


def test_the_payees_name_goes_out_encrypted_under_the_named_key(payer):
    pay(payer, bill(payer), fen=200_000, name="张三")
    sealed = payer.body()["user_name"]
    assert payer.platform_key.decrypt_oaep_sha1(base64.b64decode(sealed)) == "张三".encode()
    assert header(payer.requests[0].headers, "Wechatpay-Serial") == payer.public_key_id


@pytest.mark.parametrize(
    ("about", "kind", "code", "field"),
    [
        ({"fen": 200_000}, ValidationError, "wechatpay.payee_name_missing", "payee_name"),
        ({"fen": 29, "name": "张三"}, ValidationError, "wechatpay.payee_name_unchecked", "payee_name"),
        ({"fen": 9}, LimitError, "wechatpay.transfer_least", "cash_fen"),
    ],
)
def test_what_the_platform_would_not_take_is_refused_before_any_request(payer, about, kind, code, field):
    with pytest.raises(kind) as raised:
        pay(payer, **about)
    assert (raised.value.code, raised.value.field) == (code, field)
    assert payer.requests == []


def test_just_below_the_limit_no_name_is_needed_and_from_thirty_fen_on_one_may_be_given(payer):
    assert pay(payer, bill(payer), fen=199_999).effected is Effected.PENDING
    assert pay(payer, bill(payer), fen=30, name="张三").effected is Effected.PENDING


@pytest.mark.parametrize(
    "answer",
    [
        (400, "PARAM_ERROR"),
        (400, "INVALID_REQUEST"),
        (401, "SIGN_ERROR"),
        (403, "NO_AUTH"),
        (403, "NOT_ENOUGH"),
        (404, "NOT_FOUND"),
        (400, "SOMETHING_NEW"),
    ],
)
def test_no_refusal_proves_that_a_transfer_failed(payer, answer):
    with pytest.raises(PlatformUnknown) as raised:
        pay(payer, payer.error(*answer))
    assert raised.value.platform_code == answer[1]


@pytest.mark.parametrize("answer", [(429, "RATELIMIT_EXCEEDED"), (500, "SYSTEM_ERROR"), (503, "SERVICE_UNAVAILABLE")])
def test_a_busy_platform_is_asked_again_under_the_same_number_and_then_unknown(payer, answer):
    with pytest.raises(PlatformUnknown):
        pay(payer, *[payer.error(*answer)] * 4)
    assert len({request.content for request in payer.requests}) == 1


def test_a_lost_answer_is_unknown(payer):
    with pytest.raises(PlatformUnknown):
        pay(payer, *[payer.lost] * 8)


def test_a_transfer_that_no_host_took_is_definitely_not_made(payer):
    with pytest.raises(PlatformUnavailable):
        pay(payer, *[payer.not_reached] * 8)


def test_nothing_is_sent_after_the_deadline(payer):
    payer.driver.now += timedelta(seconds=60)
    with pytest.raises(PlatformUnavailable, match=r"platform\.too_late"):
        pay(payer)
    assert payer.requests == []


@pytest.mark.parametrize("state", ["FAIL", "CANCELLED", "SOMETHING_NEW"])
def test_the_creating_calls_own_word_of_failure_is_not_believed(payer, state):
    assert pay(payer, bill(payer, state)).effected is Effected.UNKNOWN


def test_an_answer_about_another_transfer_is_none_to_this(payer):
    with pytest.raises(PlatformUnknown, match=r"wechatpay\.answer_malformed"):
        pay(payer, bill(payer, out_bill_no="other"))


@pytest.mark.parametrize("state", ["ACCEPTED", "PROCESSING", "WAIT_USER_CONFIRM", "TRANSFERING", "CANCELING"])
def test_a_transfer_under_way_is_pending(payer, state):
    assert ask(payer, read(payer, state)).effected is Effected.PENDING


def test_a_successful_transfer_is_done_when_the_user_took_it(payer):
    outcome = ask(payer, read(payer, "SUCCESS"))
    assert outcome.effected is Effected.DONE
    assert outcome.at == payer.driver.now + timedelta(seconds=60)
    assert outcome.platform_no == PLATFORM_NO


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("OVERDUE_CLOSE", "wechatpay.transfer_overdue"),
        ("MCH_CANCEL", "wechatpay.transfer_cancelled"),
        ("NAME_NOT_CORRECT", "wechatpay.payee_name_wrong"),
        ("PAYEE_ACCOUNT_ABNORMAL", "wechatpay.payee_account"),
        ("DAY_RECEIVED_QUOTA_EXCEED", "wechatpay.transfer_quota"),
        ("BUDGET_NOT_ENOUGH", "wechatpay.payer_account"),
        ("TRANSFER_SCENE_INVALID", "wechatpay.transfer_scene"),
        ("TRANSFER_RISK", "wechatpay.transfer_failed"),
    ],
)
def test_a_failed_transfer_is_not_done_for_the_platforms_reason(payer, reason, code):
    outcome = ask(payer, read(payer, "FAIL", fail_reason=reason))
    assert outcome.effected is Effected.NOT_DONE
    assert isinstance(outcome.error, PlatformRefused)
    assert (outcome.error.code, outcome.error.platform_code) == (code, reason)
    assert outcome.error.diagnostics("zh").message
    assert outcome.error.diagnostics("en").message


def test_a_state_that_nobody_documented_decides_nothing(payer):
    assert ask(payer, read(payer, "SOMETHING_NEW")).effected is Effected.UNKNOWN


@pytest.mark.parametrize("told", [{"transfer_amount": 5_001}, {"transfer_amount": 5_000, "openid": "oOther"}, {}])
def test_a_transfer_of_another_amount_or_payee_is_not_this_one(payer, told):
    outcome = ask(payer, bill(payer, "SUCCESS", **told))
    assert outcome.effected is Effected.UNKNOWN
    assert outcome.error.code == "wechatpay.transfer_differs"


@pytest.mark.parametrize(
    ("about", "effected"),
    [
        ({}, Effected.NOT_DONE),
        ({"platform_no": PLATFORM_NO}, Effected.UNKNOWN),
        ({"age": timedelta(days=30)}, Effected.UNKNOWN),
    ],
    ids=["never heard of", "was there once", "too long ago"],
)
def test_a_transfer_that_cannot_be_found_failed_only_if_it_was_never_there(payer, about, effected):
    assert ask(payer, payer.error(404, "NOT_FOUND"), **about).effected is effected


def test_another_refusal_of_the_query_says_nothing_of_the_transfer(payer):
    with pytest.raises(PlatformRefused):
        ask(payer, payer.error(403, "NO_AUTH"))


def test_a_call_back_is_heard_and_no_more(payer):
    answer = payer.ok({"out_bill_no": "1", "transfer_bill_no": "2", "state": "CANCELING"})
    assert payer.run(payer.adapter.transfers.cancel(payer.redemption_id), answer) == "CANCELING"
    assert payer.requests[0].url.endswith(f"/transfer-bills/out-bill-no/{payer.redemption_id}/cancel")
    assert payer.requests[0].content == b""


def test_cash_is_listed_bound_and_voided_without_a_request(payer):
    held = cash(payer)
    issue = IssueOrder(template=held.template, codes=(held.code,), batch_id="b1", listing=None)
    listing = payer.run(payer.adapter.issue(issue))
    assert listing == Listing("summer", "wechatpay", {})
    bind = BindOrder("c1", held.code, held.template, listing, Holder(user=PlatformUser(payer.openid)), "n1")
    binding = payer.run(payer.adapter.bind(bind))
    assert binding.user == PlatformUser(payer.openid)
    void = payer.adapter.void(binding, code=held.code, listing=listing, void_no="v1", reason="")
    assert payer.run(void).effected is Effected.DONE
    assert payer.requests == []


def test_cash_for_nobody_known_here_is_refused(payer):
    held = cash(payer)
    listing = Listing("summer", "wechatpay", {})
    bind = BindOrder("c1", held.code, held.template, listing, Holder.parse({"phone": "13800000000"}), "n1")
    with pytest.raises(ValidationError, match=r"wechatpay\.openid_required"):
        payer.run(payer.adapter.bind(bind))


def test_paying_out_is_offered_only_where_the_scene_is_set(world):
    assert Capability.PAY_OUT not in world.adapter.profile.capabilities
    assert "cash" not in world.adapter.profile.coupon_kinds
    profile = world.build(**SCENE).profile
    assert Capability.PAY_OUT in profile.capabilities
    assert "cash" in profile.coupon_kinds


@pytest.mark.parametrize("missing", list(SCENE))
def test_half_a_scene_is_refused_by_name(world, missing):
    with pytest.raises(ValidationError) as raised:
        world.settings(**{**SCENE, missing: None})
    assert (raised.value.code, raised.value.field) == ("wechatpay.transfer_half", missing)


# --- receipts ---

PDF = b"%PDF-1.4 receipt"


def receipt(payer, folder, *answers):
    return payer.run(payer.adapter.transfers.receipt(payer.redemption_id, to=folder / "receipt.pdf"), *answers)


def finished(payer, **changes):
    told = {
        "state": "FINISHED",
        "hash_type": "SHA256",
        "hash_value": hashlib.sha256(PDF).hexdigest(),
        "download_url": "https://api.mch.weixin.qq.com/v3/billdownload/file?token=T",
    }
    return payer.ok(told | changes)


def test_a_receipt_is_asked_for_once_and_fetched_when_it_is_made(payer, tmp_path):
    assert not receipt(payer, tmp_path, payer.error(404, "NOT_FOUND"), payer.ok({"state": "GENERATING"}))
    assert payer.body() == {"out_bill_no": payer.redemption_id}
    assert not receipt(payer, tmp_path, payer.ok({"state": "GENERATING"}))
    assert receipt(payer, tmp_path, finished(payer), HttpAnswer(200, (), PDF))
    assert (tmp_path / "receipt.pdf").read_bytes() == PDF


@pytest.mark.parametrize("file", [PDF + b" ", PDF[:-1], b""])
def test_a_receipt_of_another_digest_is_not_kept(payer, tmp_path, file):
    with pytest.raises(ForgedMessage, match=r"wechatpay\.receipt_digest"):
        receipt(payer, tmp_path, finished(payer), HttpAnswer(200, (), file))
    assert list(tmp_path.iterdir()) == []


def test_a_receipt_that_cannot_be_made_is_refused(payer, tmp_path):
    with pytest.raises(PlatformRefused, match=r"wechatpay\.receipt_failed"):
        receipt(payer, tmp_path, payer.ok({"state": "FAILED"}))


def test_a_receipt_without_a_proof_is_none(payer, tmp_path):
    with pytest.raises(PlatformUnavailable, match=r"wechatpay\.answer_malformed"):
        receipt(payer, tmp_path, finished(payer, hash_type="CRC32"))
