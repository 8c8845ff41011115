"""One-time codes by the rules of the sheet, §3.9.

Six digits, 300 s, a resend after 60 s that kills the old code and keeps the count of wrong ones, five wrong, then a
lock of coupon and mobile for 30 minutes (after three locks in 24 h until the next natural day), ten sends a mobile and
day, five a coupon and day. A code is bound to merchant, coupon, amount and scene, and is used once. Only an HMAC-SM3 of
token and code is kept. Elapsed time is counted in whole seconds, as the wire's times are.

Choices where the sheet leaves room: the fifth wrong code is answered SMS_WRONG with no attempts left and begins the
lock; the count of wrong codes lasts until a right one or a lock, whatever time goes by.
"""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta
from typing import Any, Final

from unicom_coupon_adapters.bank.emulation.refusals import Refusal
from unicom_coupon_adapters.bank.emulation.world import BEIJING, Call, World, elapsed_s, stamp
from unicom_coupon_sdk.crypto import sm3

LIFE_S: Final = 300
RESEND_S: Final = 60
ATTEMPTS: Final = 5
LOCK_S: Final = 1800
LOCKS_A_DAY: Final = 3
SENDS_A_MOBILE: Final = 10
SENDS_A_COUPON: Final = 5


def send(call: Call, coupon: dict[str, Any], *, amount: int, scene: str) -> dict[str, Any]:
    """A code sent for ``coupon``; the fields of the reply. Raises ``Refusal`` by the rules."""
    world, mobile, code = call.world, coupon["mobile"], coupon["code"]
    now = world.now()
    chain = _chain(world, code)
    _check_lock(chain, now)
    day = world.today().isoformat()
    by_coupon = _count(world, f"{code}:{day}")
    by_mobile = _count(world, f"{mobile}:{day}")
    left = min(SENDS_A_COUPON - by_coupon, SENDS_A_MOBILE - by_mobile)
    if chain["sent_at"] and (gone := elapsed_s(chain["sent_at"], now)) < RESEND_S:
        raise Refusal("SMS_TOO_FREQUENT", resendAfter=RESEND_S - gone, sendLeft=max(left, 0))
    if left <= 0:
        raise Refusal("SMS_DAY_LIMIT", sendLeft=0)
    if mobile.endswith("0003"):
        raise Refusal("NOT_ALLOWED")  # the operator refuses delivery; the sheet names no code for it
    token = world.frame.random_bytes(16).hex()
    secret = "000000" if mobile.endswith("0000") else world.digits(6)
    world.store.put(
        "token",
        token,
        {
            "code": code,
            "mer": call.text("merId"),
            "amount": amount,
            "scene": scene,
            "sent_at": now.isoformat(),
            "digest": _digest(world, token, secret),
            "alive": True,
            "never": mobile.endswith("0001"),
        },
    )
    _kill(world, chain["token"])
    world.store.put("chain", code, {**chain, "token": token, "sent_at": now.isoformat()})
    for key, count in ((f"{code}:{day}", by_coupon), (f"{mobile}:{day}", by_mobile)):
        world.store.put("sends", key, {"count": count + 1})
    if not mobile.endswith("0002"):
        purpose = "核销" if scene == "REDEEM" else "撤销核销"
        text = (
            f"【沙箱银行】您正在{purpose}尾号{code[-4:]}的联通电子券，金额{amount // 100}.{amount % 100:02d}元，"
            f"验证码{secret}，5分钟内有效。请勿将验证码告知他人。"
        )
        world.frame.send_message(mobile, kind="one_time_code", text=text, code=secret)
    return {
        "smsToken": token,
        "expireTime": stamp(now + timedelta(seconds=LIFE_S)),
        "resendAfter": RESEND_S,
        "sendLeft": left - 1,
        "attemptsLeft": ATTEMPTS - chain["wrong"],
    }


def spend(call: Call, coupon: dict[str, Any], *, amount: int, scene: str) -> None:
    """Use the code up. Raises ``Refusal``; only SMS_WRONG costs an attempt."""
    world = call.world
    token, typed = call.text("smsToken", longest=32), call.sealed_text("encryptSms", "smsCode")
    held = world.store.get("token", token)
    if held is None:
        raise Refusal("SMS_TOKEN_INVALID")
    wanted = (call.text("merId"), coupon["code"], amount, scene)
    if (held["mer"], held["code"], held["amount"], held["scene"]) != wanted:
        raise Refusal("SMS_BINDING_MISMATCH")
    now = world.now()
    chain = _chain(world, coupon["code"])
    _check_lock(chain, now)
    if not held["alive"]:
        raise Refusal("SMS_TOKEN_INVALID")
    if elapsed_s(held["sent_at"], now) > LIFE_S:
        raise Refusal("SMS_EXPIRED")
    given = _digest(world, token, typed)
    if held["never"] or not hmac.compare_digest(given.encode(), held["digest"].encode()):
        raise _wrong(world, coupon["code"], chain, now)
    _kill(world, token)
    world.store.put("chain", coupon["code"], {**chain, "wrong": 0})


def live_token(world: World, code: str) -> dict[str, Any] | None:
    """The open code that holds a coupon, if there is one."""
    chain = world.store.get("chain", code)
    held = world.store.get("token", chain["token"]) if chain and chain["token"] else None
    if held is None or not held["alive"] or elapsed_s(held["sent_at"], world.now()) > LIFE_S:
        return None
    return held


def _wrong(world: World, code: str, chain: dict[str, Any], now: datetime) -> Refusal:
    wrong = chain["wrong"] + 1
    if wrong < ATTEMPTS:
        world.store.put("chain", code, {**chain, "wrong": wrong})
        return Refusal("SMS_WRONG", attemptsLeft=ATTEMPTS - wrong)
    recent = [at for at in chain["locks"] if elapsed_s(at, now) < 86_400]
    until = now + timedelta(seconds=LOCK_S)
    if len(recent) + 1 >= LOCKS_A_DAY:
        midnight = now.astimezone(BEIJING).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        until = max(until, midnight)
    _kill(world, chain["token"])
    locks = [*recent, now.isoformat()]
    world.store.put("chain", code, {**chain, "wrong": 0, "locks": locks, "locked_until": until.isoformat()})
    return Refusal("SMS_WRONG", attemptsLeft=0)


def _check_lock(chain: dict[str, Any], now: datetime) -> None:
    if chain["locked_until"] and now < datetime.fromisoformat(chain["locked_until"]):
        raise Refusal("SMS_LOCKED", attemptsLeft=0)


def _chain(world: World, code: str) -> dict[str, Any]:
    found = world.store.get("chain", code)
    return found or {"token": None, "sent_at": None, "wrong": 0, "locks": [], "locked_until": None}


def _kill(world: World, token: str | None) -> None:
    held = world.store.get("token", token) if token else None
    if token and held is not None:
        world.store.put("token", token, {**held, "alive": False})


def _count(world: World, key: str) -> int:
    found = world.store.get("sends", key)
    return int(found["count"]) if found else 0


def _digest(world: World, token: str, secret: str) -> str:
    return sm3.hmac(world.keys.server_key, f"{token}{secret}".encode()).hex()
