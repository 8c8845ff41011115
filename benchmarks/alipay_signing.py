"""How fast a signed Alipay request is built, beside the bare signature and the official client in the same run.

Run: ``python benchmarks/alipay_signing.py`` (needs ``alipay-sdk-python``). One request is a whole ``ordervoucher.use``:
content from the ledger's values, canonical string, RSA2 signature, URL and body, ready for the socket. The bare rate
is ``RsaPrivateKey.sign_sha256`` over the same canonical string. Rates are per second of CPU time. Each round measures
all sides within half a second, and a ratio is the median of the rounds' own ratios, so a busy machine slows both sides
of a ratio alike. Compare ratios, not rates.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from alipay.aop.api.AlipayClientConfig import AlipayClientConfig
from alipay.aop.api.DefaultAlipayClient import DefaultAlipayClient
from alipay.aop.api.domain.AlipayMarketingActivityOrdervoucherUseModel import (
    AlipayMarketingActivityOrdervoucherUseModel,
)
from alipay.aop.api.request.AlipayMarketingActivityOrdervoucherUseRequest import (
    AlipayMarketingActivityOrdervoucherUseRequest,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.unit.alipay.peer import KEYS, VECTORS, held, settings

from unicom_coupon_adapters.alipay.envelope import cut
from unicom_coupon_adapters.alipay.keys import AlipayKeys
from unicom_coupon_adapters.alipay.messages import Messages
from unicom_coupon_adapters.alipay.requests import RequestMaker
from unicom_coupon_adapters.alipay.signing import SignType, canonical
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey

ROUNDS = 31
AIM_BARE, AIM_OFFICIAL = 0.85, 50
AT = datetime(2026, 1, 15, 2, 20, 31, tzinfo=UTC)


def rate(work: Callable[[], object], *, seconds: float) -> float:
    """Calls per second of CPU time, over about ``seconds`` of it."""
    count, started = 0, time.process_time()
    while (spent := time.process_time() - started) < seconds:
        for _ in range(2):
            work()
        count += 2
    return count / spent


def ours() -> tuple[Callable[[], object], Callable[[], object], Callable[[], object]]:
    """Build and sign; the bare signature over the same text; and cutting and verifying an answer."""
    chosen = settings()
    keys = AlipayKeys.load(chosen, Keys())
    maker, messages, redemption = RequestMaker(chosen, keys), Messages(chosen), held()
    text = canonical(maker.parameters(messages.use(redemption), at=AT)).encode()
    key = RsaPrivateKey.load(KEYS["app_private_pkcs8_pem"].encode(), field="key")
    vector = next(v for v in VECTORS["vectors"] if v["id"] == "C01")
    body, verifier = vector["body"].encode(), keys.verifiers(None, AT)[0]
    method = "alipay.marketing.activity.ordervoucher.use"
    ticks = iter(range(1 << 40))
    return (
        lambda: maker.classic(messages.use(redemption), at=AT + timedelta(seconds=next(ticks))),
        lambda: key.sign_sha256(text),
        lambda: cut(body, method=method).is_signed_by(verifier, SignType.RSA2),
    )


def official() -> Callable[[], object]:
    """The same request by alipay-sdk-python: its own builder, to the URL and body it would send."""
    config = AlipayClientConfig()
    config.app_id = "2021000000000001"
    config.app_private_key = "".join(KEYS["app_private_pkcs1_pem"].strip().split("\n")[1:-1])
    config.alipay_public_key = "".join(KEYS["alipay_public_pem"].strip().split("\n")[1:-1])
    client = DefaultAlipayClient(config)
    content = Messages(settings()).use(held()).content

    def build() -> object:
        model = AlipayMarketingActivityOrdervoucherUseModel()
        for name, value in content.items():
            setattr(model, name, value)
        request = AlipayMarketingActivityOrdervoucherUseRequest(biz_model=model)
        return client._DefaultAlipayClient__prepare_request(request)  # noqa: SLF001 - what execute() calls before it sends

    return build


def main() -> int:
    """Prints the median rates and both median ratios; exit code 1 below an aim."""
    build, bare, verify = ours()
    theirs = official()
    rounds = []
    for _ in range(ROUNDS):
        before, ours_, after = rate(bare, seconds=0.05), rate(build, seconds=0.1), rate(bare, seconds=0.05)
        rounds.append(((before + after) / 2, ours_, rate(theirs, seconds=0.1), rate(verify, seconds=0.02)))
    bare_s, build_s, official_s, verify_s = (median(column) for column in zip(*rounds, strict=True))
    of_bare = median(ours_ / bare_ for bare_, ours_, _, _ in rounds)
    of_official = median(ours_ / other for _, ours_, other, _ in rounds)
    print(f"build and sign a request   {build_s:>9,.0f}/s")
    print(f"bare RSA-2048 signature    {bare_s:>9,.0f}/s   ratio {of_bare:6.2f}   aim {AIM_BARE}")
    print(f"alipay-sdk-python          {official_s:>9,.0f}/s   ratio {of_official:6.1f}   aim {AIM_OFFICIAL}")
    print(f"cut and verify an answer   {verify_s:>9,.0f}/s")
    return 0 if of_bare >= AIM_BARE and of_official >= AIM_OFFICIAL else 1


if __name__ == "__main__":
    sys.exit(main())
