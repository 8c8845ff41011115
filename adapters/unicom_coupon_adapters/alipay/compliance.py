"""Alipay's compliance shim: for each member, whether it may be sent, kept and logged, and for how long.

``Api.call`` passes every content through ``outgoing`` before it is signed, and the core passes every reference through
``kept`` before it is stored, so a member that is not in this table can do neither: a new one is a decision here.

Sources: sheet §7 (purpose of each user datum, no logging of bodies, ID data only under contract), the Personal
Information Protection Law (PIPL) art. 6 and 19 (least data, shortest time), and the Accounting Archives rules
(财政部 国家档案局令第79号) for what ties a redemption to its voucher; five years, since Alipay's own bills reach six.
"""

from __future__ import annotations

from collections.abc import Iterable

from unicom_coupon_sdk.platform.compliance import ComplianceShim, FieldRule

FIVE_YEARS = 1827
ONE_YEAR = 366

_PERSONAL = "sheet §7 user data; PIPL art. 6, 19"
_NUMBERS = "sheet §4: bills reach six years back"
_RULES = "sheet §2.2, §2.5"
_SECRET = "sheet §7: tokens and keys stay on the server and out of logs"  # noqa: S105 - a source, not a password
_AUTHORITY = "sheet §5.1: a payment code is authority to pay, and goes to the payment API alone"


def _rules(names: str, *, send: bool, keep_days: int, log: bool, source: str, note: str = "") -> Iterable[FieldRule]:
    for name in names.split():
        yield FieldRule(field=name, send=send, keep_days=keep_days, log=log, source=source, note=note)


_TABLE: tuple[FieldRule, ...] = (
    # Whose coupon it is. Sent because Alipay demands it; kept only in the ledger's sealed columns, never as a ref.
    *_rules(
        "user_id open_id user_open_id buyer_id buyer_open_id",
        send=True, keep_days=0, log=False, source=_PERSONAL, note="sealed in the ledger",
    ),
    *_rules(
        "voucher_code voucher_codes code encrypted_code encrypted_data code_list",
        send=True, keep_days=0, log=False, source=_PERSONAL, note="a bearer value; sealed in the ledger",
    ),
    *_rules(
        "identity account trans_in trans_out payee_info receiver_list",
        send=True, keep_days=0, log=False, source=_PERSONAL, note="who is paid; sealed in the ledger",
    ),
    *_rules(
        "name trans_in_name",
        send=True, keep_days=0, log=False, source="sheet §3.1, §7 money: the payee's name is checked; PIPL art. 6",
        note="given with the wish, never stored",
    ),
    *_rules("auth_code", send=True, keep_days=0, log=False, source=_AUTHORITY),
    *_rules("refresh_token auth_token", send=True, keep_days=0, log=False, source=_SECRET),
    *_rules("grant_type", send=True, keep_days=0, log=True, source="sheet §5.2"),
    *_rules(
        "mobile user_name nick_name avatar cert_no cert_name cert_type phone_no identity_hash",
        send=False, keep_days=0, log=False, source=_PERSONAL,
    ),
    *_rules(
        "receive_user_id buyer_logon_id seller_email access_token union_id",
        send=False, keep_days=0, log=False, source=_PERSONAL,
    ),
    *_rules(
        "device_fingerprint client_ip mc_create_trade_ip",
        send=False, keep_days=0, log=False, source="sheet §2.5: use has no such member; ours is a blind index only",
    ),
    # Who we are, and Alipay's ids of what was made.
    *_rules(
        "activity_id voucher_id merchant_id belong_merchant_id item_id seller_id store_id real_shop_id shop_id",
        send=True, keep_days=FIVE_YEARS, log=True, source=_NUMBERS,
    ),
    # Numbers of requests and orders: what reconciliation and disputes need.
    *_rules(
        "out_biz_no out_trade_no trade_no out_request_no order_id out_order_id certificate_id certificate_id_list"
        " use_order_no use_order_no_list settle_no pay_fund_order_id",
        send=True, keep_days=FIVE_YEARS, log=True, source=_NUMBERS,
    ),
    *_rules("trace_id", send=False, keep_days=FIVE_YEARS, log=True, source=_NUMBERS),
    *_rules("family", send=False, keep_days=ONE_YEAR, log=True, source=_RULES),
    *_rules("alipay_cert_sn", send=True, keep_days=ONE_YEAR, log=True, source="sheet §1.8"),
    # Content of activities.
    *_rules(
        "merchant_access_mode biz_dt activity_base_info activity_name code_mode out_activity_id belong_merchant_info"
        " business_type merchant_id_type voucher_deduct_info voucher_type fix_voucher_info discount_voucher_info"
        " special_voucher_info exchange_voucher_info amount floor_amount discount ceiling_amount special_amount"
        " biz_type voucher_send_mode_info voucher_send_mode voucher_send_rule_info publish_start_time publish_end_time"
        " quantity quantity_limit_per_user quantity_limit_per_user_period_type natural_person_limit"
        " voucher_use_rule_info voucher_max_use_times voucher_use_time_info period_type absolute_period_info"
        " valid_begin_time valid_end_time voucher_display_pattern_info voucher_name brand_name brand_logo"
        " voucher_image voucher_description"
        " customer_service_mobile voucher_customer_guide_info voucher_use_guide_info use_guide_mode"
        " voucher_available_scope_info voucher_available_geography_scope_info available_geography_scope_type"
        " available_geography_city_info all_city available_geography_shop_info available_shop_ids"
        " voucher_available_goods_info goods_name origin_amount voucher_quantity receive_info_list",
        send=True, keep_days=0, log=True, source=_RULES,
    ),
    # Content of redemptions, orders and refunds.
    *_rules(
        "total_fee trade_channel cross_order certificate_use_info_list use_count subject total_amount scene"
        " timeout_express refund_amount refund_reason query_options operator_id terminal_id",
        send=True, keep_days=0, log=True, source="sheet §2.5, §2.6, §2.9, §2.11",
    ),
    # Content of pay-outs, shares and bills. Scene and reports must be true (§7 money), so they are settings.
    *_rules(
        "trans_amount product_code biz_scene order_title identity_type remark transfer_scene_name"
        " transfer_scene_report_infos info_type info_content",
        send=True, keep_days=0, log=False, source="sheet §3.1; §7 logs: no content of fund APIs in the clear",
    ),
    *_rules(
        "type royalty_parameters royalty_type trans_in_type trans_out_type desc royalty_mode extend_params"
        " royalty_finish royalty_freeze refund_royalty_parameters",
        send=True, keep_days=0, log=False, source="sheet §3.2; §7 logs: no content of fund APIs in the clear",
    ),
    *_rules("bill_type bill_date", send=True, keep_days=0, log=True, source="sheet §4"),
)  # fmt: skip

SHIM = ComplianceShim("alipay", _TABLE)
"""The rules of Alipay."""
