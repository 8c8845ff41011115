"""WeChat Pay's compliance shim: for each field, whether it may be sent, kept and logged, and for how long.

The gateway passes every body through ``outgoing`` before it is signed, and the core passes every reference through
``kept`` before it is stored, so a field that is not in this table can do neither: a new field is a decision here.

Sources: sheet §7 (security rules of the API: secrets server-side only, no logging; consent for personal data; bills
are kept 5 years, and so are here the numbers that tie a redemption to them), and the Personal Information Protection
Law (PIPL) art. 6 and 19 (least data, shortest time) and 28 (biometrics).
"""

from __future__ import annotations

from collections.abc import Iterable

from unicom_coupon_sdk.platform.compliance import ComplianceShim, FieldRule

FIVE_YEARS = 1827
ONE_YEAR = 366

_PERSONAL = "sheet §7; PIPL art. 6, 19"
_NUMBERS = "sheet §7: bills are kept 5 years"
_RULES = "sheet §2.1, §2.4"
_SECRET = "sheet §7: keys and tokens stay on the server and out of logs"  # noqa: S105 - a source, not a password


def _rules(names: str, *, send: bool, keep_days: int, log: bool, source: str, note: str = "") -> Iterable[FieldRule]:
    for name in names.split():
        yield FieldRule(field=name, send=send, keep_days=keep_days, log=log, source=source, note=note)


_TABLE: tuple[FieldRule, ...] = (
    # Whose coupon it is. Sent because the platform demands it; kept only in the ledger's sealed columns.
    *_rules("openid open_id", send=True, keep_days=0, log=False, source=_PERSONAL, note="sealed in the ledger"),
    *_rules(
        "coupon_code coupon_code_list code_list",
        send=True,
        keep_days=0,
        log=False,
        source=_PERSONAL,
        note="a bearer value; sealed in the ledger",
    ),
    *_rules("unionid phone_number country_code", send=False, keep_days=0, log=False, source=_PERSONAL),
    *_rules(
        "device_fingerprint client_ip payer_client_ip device_id",
        send=False,
        keep_days=0,
        log=False,
        source="sheet §5: use has no device field; ours is counted by a blind index only",
    ),
    *_rules("number encrypted_real_name", send=False, keep_days=0, log=False, source=_PERSONAL),
    *_rules(
        "user_name name",
        send=True,
        keep_days=0,
        log=False,
        source=_PERSONAL,
        note="a payee's or receiver's name, encrypted for the platform (sheet §1.7); with their consent",
    ),
    *_rules(
        "encrypted_echo_message echo_message", send=True, keep_days=0, log=False, source="sheet §1.10", note="self-test"
    ),
    *_rules(
        "receivers account return_mchid",
        send=True,
        keep_days=0,
        log=False,
        source="sheet §3.2; PIPL art. 6, 19",
        note="who gets a part: a merchant number or an openid",
    ),
    # What a device signed over our challenge: to the platform's verifier and nowhere else. No biometrics are inside.
    *_rules("json_string json_signature", send=True, keep_days=0, log=False, source="sheet §5; PIPL art. 28"),
    *_rules("grant_type force_refresh", send=True, keep_days=0, log=True, source="sheet §5"),
    *_rules("secret access_token js_code session_key", send=True, keep_days=0, log=False, source=_SECRET),
    *_rules("sign send_coupon_params url authorization", send=False, keep_days=0, log=False, source=_SECRET),
    # Who we are, and the platform's ids of what was made.
    *_rules(
        "appid mchid mch_id belong_merchant brand_id stock_id product_coupon_id",
        send=True,
        keep_days=FIVE_YEARS,
        log=True,
        source=_NUMBERS,
    ),
    # Numbers of requests and of orders: what reconciliation and disputes need.
    *_rules(
        "out_request_no send_request_no use_request_no return_request_no deactivate_request_no upload_request_no"
        " transaction_id out_trade_no out_refund_no refund_id out_bill_no"
        " out_order_no out_return_no",
        send=True,
        keep_days=FIVE_YEARS,
        log=True,
        source=_NUMBERS,
    ),
    *_rules(
        "binding_no coupon_id request_id transfer_bill_no", send=False, keep_days=FIVE_YEARS, log=True, source=_NUMBERS
    ),
    *_rules(
        "send_channel send_coupon_merchant coupon_state trade_state refund_status plugin delivery",
        send=False,
        keep_days=ONE_YEAR,
        log=True,
        source=_RULES,
    ),
    *_rules("use_time deactivate_reason reason store_id saved_amount", send=True, keep_days=0, log=True, source=_RULES),
    # Content of stocks, orders and refunds.
    *_rules(
        "stock_name comment goods_name stock_type coupon_use_rule stock_send_rule coupon_code_mode notify_config"
        " notify_appid coupon_available_time available_begin_time available_end_time fixed_normal_coupon"
        " discount_amount transaction_minimum discount_coupon discount_percent exchange_coupon exchange_price"
        " use_method mini_programs_appid mini_programs_path max_coupons max_coupons_per_user natural_person_limit"
        " prevent_api_abuse display_pattern_info description",
        send=True,
        keep_days=0,
        log=True,
        source=_RULES,
    ),
    *_rules("type relation_type unfreeze_unsplit", send=True, keep_days=0, log=True, source="sheet §3.2"),
    *_rules(
        "transfer_scene_id transfer_amount transfer_remark transfer_scene_report_infos info_type info_content",
        send=True,
        keep_days=0,
        log=True,
        source="sheet §3.1",
    ),
    *_rules(
        "associated_order_info amount refund total currency notify_url",
        send=True,
        keep_days=0,
        log=True,
        source="sheet §3.3",
    ),
)

SHIM = ComplianceShim("wechatpay", _TABLE)
"""The rules of WeChat Pay."""
