"""What only a user's phone could do, for the control API's ``POST /deliveries``.

The wish's ``kind`` is one of ``h5``, ``mini_program``, ``product_coupon``, ``face``, ``login``, ``delete``,
``transfer`` and ``receiver``. Each does what the platform's page or component would do with the merchant's parameters,
the signature checked, and answers what the page would show or hand back. Sheet §2.2, §3.1 and §5; a wrong wish is a
``ValueError`` for the tester, a refused claim is an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from unicom_coupon_adapters.wechatpay.emulation import weixin
from unicom_coupon_adapters.wechatpay.emulation.holdings import Coupon, coupons_of_code, record
from unicom_coupon_adapters.wechatpay.emulation.platform_keys import APPID, MCHID
from unicom_coupon_adapters.wechatpay.emulation.product_sending import claim_product
from unicom_coupon_adapters.wechatpay.emulation.refusals import Refusal
from unicom_coupon_adapters.wechatpay.emulation.sending import Sending, send_one
from unicom_coupon_adapters.wechatpay.emulation.share_returns import set_receiver
from unicom_coupon_adapters.wechatpay.emulation.signatures_v2 import is_signed
from unicom_coupon_adapters.wechatpay.emulation.transfers import confirm
from unicom_coupon_adapters.wechatpay.emulation.world import World, moment_of

H5_BAD_SIGN: Final = 272758293
H5_BAD_BINDING: Final = 272756757
_LINK_NAMES: Final = ("stock_id", "out_request_no", "sign", "send_coupon_merchant", "open_id", "coupon_code")
_MOST_COUPONS: Final = 10
_MOST_OF_A_STOCK: Final = 3


def deliver(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """Do what ``wish["kind"]`` names. Raises ``ValueError`` for an unknown kind or a missing member."""
    kind = _kind(wish)
    acts: Mapping[str, Callable[[World, Mapping[str, Any]], dict[str, Any]]] = {
        "h5": claim_by_link,
        "mini_program": claim_by_plugin,
        "product_coupon": claim_by_token,
        "face": check_face,
        "login": log_in,
        "delete": delete_coupon,
        "transfer": confirm,
        "receiver": set_receiver,
    }
    act = acts.get(kind)
    if act is None:
        raise ValueError(f"kind must be one of {', '.join(acts)}")
    return {"kind": kind, **act(world, wish)}


def claim_by_link(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """The user opens the H5 link (``url``, or its parameters in ``params``): the page's number, or the coupon."""
    values = _link_values(wish)
    sign = values.pop("sign", "")
    if not is_signed(values, sign, key=world.keys.apiv2_key()):
        return {"errcode": H5_BAD_SIGN, "errmsg": "签名错误"}
    if values.get("send_coupon_merchant") != MCHID or not values.get("open_id"):
        return {"errcode": H5_BAD_BINDING, "errmsg": "openid、appid与商户号不匹配"}
    claimed = _claim(
        world,
        stock_id=values.get("stock_id", ""),
        openid=values["open_id"],
        number=values.get("out_request_no", ""),
        code=values.get("coupon_code") or None,
        channel="H5",
    )
    good = claimed["code"] == "SUCCESS"
    return {"errcode": 0 if good else claimed["code"], "errmsg": claimed["message"], **_of_claim(claimed)}


def claim_by_plugin(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """The mini-program's send-coupon component fires: the event's detail for every coupon of the list."""
    params = wish.get("send_coupon_params")
    openid = _text(wish, "openid")
    if not isinstance(params, list) or not all(isinstance(one, dict) for one in params):
        raise ValueError("send_coupon_params must be a list of objects")
    merchant = str(wish.get("send_coupon_merchant", ""))
    values = {f"{name}{index}": str(value) for index, one in enumerate(params) for name, value in one.items()}
    values["send_coupon_merchant"] = merchant
    if not is_signed(values, str(wish.get("sign", "")), key=world.keys.apiv2_key()):
        return {"errcode": "SIGN_ERROR", "msg": "签名错误", "send_coupon_result": []}
    stocks = [str(one.get("stock_id", "")) for one in params]
    too_many = any(stocks.count(stock) > _MOST_OF_A_STOCK for stock in stocks)
    if merchant != MCHID or not 1 <= len(params) <= _MOST_COUPONS or too_many:
        return {"errcode": "PARAM_ERROR", "msg": "参数错误", "send_coupon_result": []}
    results = [
        _claim(
            world,
            stock_id=str(one.get("stock_id", "")),
            openid=openid,
            number=str(one.get("out_request_no", "")),
            code=str(one["coupon_code"]) if one.get("coupon_code") else None,
            channel="MINIAPP",
        )
        for one in params
    ]
    return {"errcode": "OK", "msg": "", "send_coupon_result": results}


def claim_by_token(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """The receive component opens with the ``token`` of a pre-send; the coupon arrives once within five minutes."""
    token = _text(wish, "token")
    kept = world.store.get("pre-send", token)
    if kept is None:
        return {"errcode": "INVALID_TOKEN", "errmsg": "token无效"}
    if kept["family"] == "product":
        return claim_product(world, token, kept, openid=str(wish.get("openid") or kept["openid"]))
    if kept.get("claimed") or world.now() > moment_of(kept["until"]):
        return {"errcode": "INVALID_TOKEN", "errmsg": "token已失效"}
    claimed = _claim(
        world,
        stock_id=kept["stock_id"],
        openid=str(wish.get("openid") or kept.get("openid") or ""),
        number=kept["send_request_no"],
        code=kept.get("coupon_code"),
        channel="MINIAPP",
    )
    if claimed["code"] == "SUCCESS":
        world.store.put("pre-send", token, kept | {"claimed": True})
    return {"errcode": "OK" if claimed["code"] == "SUCCESS" else claimed["code"], **_of_claim(claimed)}


def check_face(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """A SOTER check on the user's device over ``challenge``: its result, which the platform will confirm or not.

    ``passes`` (true) gives a result that ``verify_signature`` confirms, false one that it does not; ``declined`` true
    is a user who says no, or a device without it: no result, ``errCode`` 90008 as the front end gets it.
    """
    openid, challenge = _text(wish, "openid"), _text(wish, "challenge")
    mode = str(wish.get("mode", "facial"))
    if mode not in {"facial", "fingerPrint"}:
        raise ValueError("mode must be facial or fingerPrint")
    if wish.get("declined") is True:
        return {"errCode": 90008, "errMsg": "cancel"}
    if len(challenge) > 512:
        return {"errCode": 90004, "errMsg": "challenge is not valid"}
    confirmed = wish.get("passes", True) is True
    return weixin.mint_soter(world, openid=openid, challenge=challenge, mode=mode, confirmed=confirmed)


def log_in(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """``wx.login`` in the merchant's mini-program: a code that the merchant exchanges for ``openid``."""
    openid = _text(wish, "openid")
    return {"js_code": weixin.mint_login_code(world, openid), "openid": openid, "appid": APPID}


def delete_coupon(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """The user deletes a coupon from the card pack; the merchant is not told (sheet §2.3)."""
    code = _text(wish, "code")
    wanted = wish.get("stock_id")
    held = [one for one in coupons_of_code(world, code, family=None) if wanted in {None, one.stock_id}]
    if not held:
        raise ValueError("there is no coupon with that code")
    coupon: Coupon = held[0]
    if coupon.state not in {"SENDED", "EFFECTIVE", "PENDING", "CONFIRMING"}:
        raise ValueError(f"a coupon that is {coupon.state} cannot be deleted by its user")
    record(world, coupon, state="DELETED", event="delete", number=None, set_to={})
    return {"code": code, "stock_id": coupon.stock_id, "state": "DELETED"}


def _claim(world: World, *, stock_id: str, openid: str, number: str, code: str | None, channel: str) -> dict[str, Any]:
    """One coupon for the user. A number that was used before is told so, with the coupon it got."""
    told = {"stock_id": stock_id, "out_request_no": number, "openid": openid}
    if not number or not stock_id or not openid:
        return {**told, "code": "PARAM_ERROR", "message": "参数错误", "coupon_code": ""}
    key = f"{stock_id}|{openid}|{number}"
    before = world.store.get("claim", key)
    if before is not None:
        return {**told, "code": "DUPREQUEST", "message": "发券凭证号重复", "coupon_code": before["coupon_code"]}
    try:
        coupon = send_one(world, Sending(stock_id, openid, number, MCHID, channel, code))
    except Refusal as refused:
        return {**told, "code": refused.code, "message": refused.zh, "coupon_code": ""}
    world.store.put("claim", key, {"coupon_code": coupon.code})
    return {**told, "code": "SUCCESS", "message": "发券成功", "coupon_code": coupon.code}


def _of_claim(claimed: Mapping[str, Any]) -> dict[str, Any]:
    return {name: claimed[name] for name in ("stock_id", "out_request_no", "coupon_code", "openid")}


def _kind(wish: Mapping[str, Any]) -> str:
    """The named kind, or the one that the members tell."""
    told = wish.get("kind")
    if told is not None:
        return str(told)
    marks = {"url": "h5", "params": "h5", "send_coupon_params": "mini_program", "token": "product_coupon"}
    marks |= {"challenge": "face", "package": "transfer"}
    return next((kind for name, kind in marks.items() if name in wish), "")


def _link_values(wish: Mapping[str, Any]) -> dict[str, str]:
    if "url" in wish:
        return dict(parse_qsl(urlsplit(_text(wish, "url")).query, keep_blank_values=True))
    params = wish.get("params", {name: wish[name] for name in _LINK_NAMES if name in wish})
    if not isinstance(params, dict) or not params:
        raise ValueError("give the link as url or its parameters as params")
    return {str(name): str(value) for name, value in params.items()}


def _text(wish: Mapping[str, Any], name: str) -> str:
    value = wish.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is missing")
    return value
