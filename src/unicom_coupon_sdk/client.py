"""The clients: one set of verbs over two runtimes.

A verb is a flow; ``CouponClient`` runs it blocking, ``AsyncCouponClient`` on asyncio. A client is a merchant's
settings and keys, holds no other state, and may be shared by threads, by tasks of any event loop, and across ``fork``.
Close it, or use it as a context manager.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from unicom_coupon_sdk.clearing.workdays import WorkingCalendar
from unicom_coupon_sdk.config import Settings
from unicom_coupon_sdk.crypto.fields import FieldCipher, derive_key
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.bill import BillAnswer, BillKind, BillNotReady
from unicom_coupon_sdk.domain.coupon import Coupon
from unicom_coupon_sdk.domain.events import Acknowledgement
from unicom_coupon_sdk.domain.redemption import (
    Binding,
    PayOut,
    PayOutRequest,
    RedeemRequest,
    Redemption,
    Reversal,
    ReverseRequest,
)
from unicom_coupon_sdk.domain.requests import BindRequest, ChallengeRequest, IssuedBatch, IssueRequest, VoidRequest
from unicom_coupon_sdk.domain.sharing import Share, ShareRequest
from unicom_coupon_sdk.domain.token import QrToken, make_token
from unicom_coupon_sdk.domain.verification import Challenge
from unicom_coupon_sdk.errors import ConfigurationError, CouponError
from unicom_coupon_sdk.flows.bind import bind
from unicom_coupon_sdk.flows.challenge import challenge
from unicom_coupon_sdk.flows.expire import Voided, expire, void
from unicom_coupon_sdk.flows.fetch_bill import fetch_bill
from unicom_coupon_sdk.flows.issue import issue
from unicom_coupon_sdk.flows.notify import Notice, notify
from unicom_coupon_sdk.flows.pay_out import pay_out
from unicom_coupon_sdk.flows.query import query
from unicom_coupon_sdk.flows.reconcile import Reconciliation, reconcile
from unicom_coupon_sdk.flows.recover import Recovery, recover
from unicom_coupon_sdk.flows.redeem import redeem
from unicom_coupon_sdk.flows.reverse import reverse
from unicom_coupon_sdk.flows.setting import Setting
from unicom_coupon_sdk.flows.settle import Settlements, settle
from unicom_coupon_sdk.flows.share import share
from unicom_coupon_sdk.guard.admission import Guard
from unicom_coupon_sdk.guard.screening import Screening
from unicom_coupon_sdk.ledger import Ledger, open_engine, prepare
from unicom_coupon_sdk.platform import registry
from unicom_coupon_sdk.platform.adapter import Finding, PlatformAdapter
from unicom_coupon_sdk.platform.effects import Flow, Now, Transact

if TYPE_CHECKING:
    import httpx
    from sqlalchemy import Connection, Engine

    from unicom_coupon_sdk.runtime.clock import Clock
    from unicom_coupon_sdk.runtime.frames import AsyncFrameTransport, FrameTransport
    from unicom_coupon_sdk.runtime.transport import AsyncTransport, BlockingTransport


T = TypeVar("T")


class House:
    """All that both clients share: the setting of flows, and the engine under it.

    Built once from settings: keys are loaded and adapters checked here, before any call, and nothing is sent.
    ``engine`` is a prepared ledger to use instead of the settings' own; ``screening`` looks at payees of pay-outs.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        keys: Keys | None = None,
        engine: Engine | None = None,
        screening: Screening | None = None,
    ) -> None:
        keys = keys or Keys()
        master = _master_key(keys.load(settings.ledger.master_key, field="ledger.master_key"))
        cipher = FieldCipher.derive(master)
        self.token_key = derive_key(master, label="qr-token")
        self.ledger = Ledger(cipher, code_key=derive_key(master, label="coupon-code"))
        self.setting = Setting(
            merchant_id=settings.merchant.id,
            ledger=self.ledger,
            guard=Guard(self.ledger, cipher=cipher, token_key=self.token_key, screening=screening),
            adapters={name: _adapter(name, section, keys) for name, section in settings.platforms.items()},
            calendar=(
                WorkingCalendar.from_file(settings.calendar.file) if settings.calendar.file else WorkingCalendar()
            ),
            contracts=settings.merchant.contracts,
            share_rules=settings.sharing,
            bills=settings.clearing.directory,
        )
        self.engine: Engine = engine or open_engine(settings.ledger.url)
        if engine is None:
            prepare(self.engine)

    def receive(
        self, platform: str, headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes
    ) -> Flow[Notice]:
        """The flow that takes in one notification; header pairs may come as a mapping."""
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        return notify(platform, tuple((str(name), str(value)) for name, value in pairs), body, setting=self.setting)

    def show(self, coupon_id: str) -> Flow[QrToken]:
        """The flow that makes a rotating token."""
        yield from Transact(self.ledger.coupon(coupon_id))
        now = yield from Now()
        return make_token(coupon_id, at=now, key=self.token_key)

    def adapter(self, platform: str) -> PlatformAdapter:
        """The adapter for ``platform``. Raises ``ConfigurationError`` when it is not set up here."""
        return self.setting.adapter(platform)


class CouponClient:
    """The blocking client. Safe to share between threads.

    ``transport`` may be an ``httpx.Client`` of yours, or anything with ``send(call)``; ``frames`` carries the frames of
    platforms that speak them; ``clock`` is another clock; ``screening`` looks at every payee of a pay-out.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        keys: Keys | None = None,
        transport: httpx.Client | BlockingTransport | None = None,
        frames: FrameTransport | None = None,
        clock: Clock | None = None,
        screening: Screening | None = None,
    ) -> None:
        from unicom_coupon_sdk.runtime.blocking import BlockingRuntime

        self._house = House(settings, keys=keys, screening=screening)
        self._clock = clock or _clock(settings)
        self._runtime = BlockingRuntime(engine=self._house.engine, http=transport, frames=frames, clock=self._clock)

    @classmethod
    def from_config(cls, path: Path | str | None = None) -> Self:
        """A client with the settings of ``path``; see ``Settings.load`` for what happens without one."""
        return cls(Settings.load(path))

    def issue(self, request: IssueRequest) -> IssuedBatch:
        """Coupons of a template, listed on its platforms. Idempotent by ``idempotency_key``; see ``flows.issue``."""
        return self._runtime.run(issue(request, setting=self._house.setting))

    def bind(self, request: BindRequest) -> Binding:
        """Give a coupon to its holder on a platform. Idempotent by coupon and platform; see ``flows.bind``."""
        return self._runtime.run(bind(request, setting=self._house.setting))

    def show(self, coupon_id: str) -> QrToken:
        """The rotating token to show as a QR code now; good for about a minute. Make a new one every 30 s."""
        return self._runtime.run(self._house.show(coupon_id))

    def challenge(self, request: ChallengeRequest) -> Challenge:
        """What the holder must do to prove who they are, within 300 s; see ``flows.challenge``."""
        return self._runtime.run(challenge(request, setting=self._house.setting))

    def redeem(self, request: RedeemRequest) -> Redemption:
        """Spend a coupon, once by ``idempotency_key``: DONE or UNKNOWN; refusals are raised. See ``flows.redeem``."""
        return self._runtime.run(redeem(request, setting=self._house.setting))

    def pay_out(self, request: PayOutRequest) -> PayOut:
        """Pay a cash coupon out, once by ``idempotency_key``: DONE, PENDING or UNKNOWN. See ``flows.pay_out``."""
        return self._runtime.run(pay_out(request, setting=self._house.setting))

    def fetch_bill(self, platform: str, kind: BillKind, day: date) -> BillAnswer:
        """A platform's bill of a Beijing day, verified and kept; or none, or not yet. See ``flows.fetch_bill``."""
        return self._runtime.run(fetch_bill(platform, kind, day, setting=self._house.setting))

    def reconcile(self, platform: str, day: date) -> Reconciliation | BillNotReady:
        """A platform's Beijing day, ledger against bills; changes no coupon. See ``flows.reconcile``."""
        return self._runtime.run(reconcile(platform, day, setting=self._house.setting))

    def settle(self, day: date) -> Settlements:
        """Gather what is due by a Beijing day, and say what is late. See ``flows.settle``."""
        return self._runtime.run(settle(day, setting=self._house.setting))

    def share(self, request: ShareRequest) -> Share:
        """Send parts of an order's money on, once by ``idempotency_key``. See ``flows.share``."""
        return self._runtime.run(share(request, setting=self._house.setting))

    def query(self, redemption_id: str) -> Redemption:
        """How a redemption stands; asks the platform when that is open. See ``flows.query``."""
        return self._runtime.run(query(redemption_id, setting=self._house.setting))

    def reverse(self, request: ReverseRequest) -> Reversal:
        """Take a redemption back, once by ``idempotency_key``. See ``flows.reverse``."""
        return self._runtime.run(reverse(request, setting=self._house.setting))

    def recover(self, *, limit: int = 1000) -> Recovery:
        """Ask the platforms about everything open. Run it every minute. See ``flows.recover``."""
        return self._runtime.run(recover(setting=self._house.setting, limit=limit))

    def expire(self, *, limit: int = 1000) -> int:
        """Move coupons whose last day is over to EXPIRED; how many. Run it daily."""
        return self._runtime.run(expire(setting=self._house.setting, limit=limit))

    def void(self, request: VoidRequest) -> Voided:
        """Withdraw an unused coupon. Idempotent by coupon. See ``flows.expire``."""
        return self._runtime.run(void(request, setting=self._house.setting))

    def coupon(self, coupon_id: str) -> Coupon:
        """A coupon by its id. Raises ``CouponStateError`` (``coupon.unknown``)."""
        return self._runtime.run(_transact(self._house.ledger.coupon(coupon_id)))

    def receive(self, platform: str, *, headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes) -> Notice:
        """Take in a notification: verified, acted upon once, with the answer to give. See ``flows.notify``.

        ``body`` must be the bytes as received. Raises ``ForgedMessage``; answer with ``acknowledge(error=…)`` then.
        """
        return self._runtime.run(self._house.receive(platform, headers, body))

    def acknowledge(self, platform: str, *, error: CouponError | None = None) -> Acknowledgement:
        """The answer that ``platform`` wants: accepted, or with ``error``, to be sent again."""
        return self._house.adapter(platform).acknowledge(error)

    def diagnose(self, platform: str) -> tuple[Finding, ...]:
        """The platform's integration checklist, item by item. Changes nothing."""
        return self._runtime.run(self._house.adapter(platform).diagnose())

    def run(self, flow: Flow[T]) -> T:
        """Run a flow of your own, such as one made from an adapter's further calls."""
        return self._runtime.run(flow)

    def read(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` finds in the ledger, in one transaction: ``client.read(client.setting.ledger.audit())``."""
        return self._runtime.run(_transact(work))

    @property
    def setting(self) -> Setting:
        """The ledger, the guard and the adapters, for flows of your own."""
        return self._house.setting

    @property
    def clock(self) -> Clock:
        """The clock by which flows run."""
        return self._clock

    def close(self) -> None:
        """Close connections. Flows that run are finished first."""
        self._runtime.close()
        self._house.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncCouponClient:
    """The asyncio client: the verbs of ``CouponClient``, awaited. Safe to use from several event loops."""

    def __init__(
        self,
        settings: Settings,
        *,
        keys: Keys | None = None,
        transport: httpx.AsyncClient | AsyncTransport | None = None,
        frames: AsyncFrameTransport | None = None,
        clock: Clock | None = None,
        screening: Screening | None = None,
    ) -> None:
        from unicom_coupon_sdk.runtime.asynchronous import AsyncRuntime

        self._house = House(settings, keys=keys, screening=screening)
        self._clock = clock or _clock(settings)
        self._runtime = AsyncRuntime(engine=self._house.engine, http=transport, frames=frames, clock=self._clock)

    @classmethod
    def from_config(cls, path: Path | str | None = None) -> Self:
        """A client with the settings of ``path``; see ``Settings.load`` for what happens without one."""
        return cls(Settings.load(path))

    async def issue(self, request: IssueRequest) -> IssuedBatch:
        """As ``CouponClient.issue``."""
        return await self._runtime.run(issue(request, setting=self._house.setting))

    async def bind(self, request: BindRequest) -> Binding:
        """As ``CouponClient.bind``."""
        return await self._runtime.run(bind(request, setting=self._house.setting))

    async def show(self, coupon_id: str) -> QrToken:
        """As ``CouponClient.show``."""
        return await self._runtime.run(self._house.show(coupon_id))

    async def challenge(self, request: ChallengeRequest) -> Challenge:
        """As ``CouponClient.challenge``."""
        return await self._runtime.run(challenge(request, setting=self._house.setting))

    async def redeem(self, request: RedeemRequest) -> Redemption:
        """As ``CouponClient.redeem``."""
        return await self._runtime.run(redeem(request, setting=self._house.setting))

    async def pay_out(self, request: PayOutRequest) -> PayOut:
        """As ``CouponClient.pay_out``."""
        return await self._runtime.run(pay_out(request, setting=self._house.setting))

    async def fetch_bill(self, platform: str, kind: BillKind, day: date) -> BillAnswer:
        """As ``CouponClient.fetch_bill``."""
        return await self._runtime.run(fetch_bill(platform, kind, day, setting=self._house.setting))

    async def reconcile(self, platform: str, day: date) -> Reconciliation | BillNotReady:
        """As ``CouponClient.reconcile``."""
        return await self._runtime.run(reconcile(platform, day, setting=self._house.setting))

    async def settle(self, day: date) -> Settlements:
        """As ``CouponClient.settle``."""
        return await self._runtime.run(settle(day, setting=self._house.setting))

    async def share(self, request: ShareRequest) -> Share:
        """As ``CouponClient.share``."""
        return await self._runtime.run(share(request, setting=self._house.setting))

    async def query(self, redemption_id: str) -> Redemption:
        """As ``CouponClient.query``."""
        return await self._runtime.run(query(redemption_id, setting=self._house.setting))

    async def reverse(self, request: ReverseRequest) -> Reversal:
        """As ``CouponClient.reverse``."""
        return await self._runtime.run(reverse(request, setting=self._house.setting))

    async def recover(self, *, limit: int = 1000) -> Recovery:
        """As ``CouponClient.recover``."""
        return await self._runtime.run(recover(setting=self._house.setting, limit=limit))

    async def expire(self, *, limit: int = 1000) -> int:
        """As ``CouponClient.expire``."""
        return await self._runtime.run(expire(setting=self._house.setting, limit=limit))

    async def void(self, request: VoidRequest) -> Voided:
        """As ``CouponClient.void``."""
        return await self._runtime.run(void(request, setting=self._house.setting))

    async def coupon(self, coupon_id: str) -> Coupon:
        """As ``CouponClient.coupon``."""
        return await self._runtime.run(_transact(self._house.ledger.coupon(coupon_id)))

    async def receive(
        self, platform: str, *, headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes
    ) -> Notice:
        """As ``CouponClient.receive``."""
        return await self._runtime.run(self._house.receive(platform, headers, body))

    def acknowledge(self, platform: str, *, error: CouponError | None = None) -> Acknowledgement:
        """As ``CouponClient.acknowledge``; does no I/O."""
        return self._house.adapter(platform).acknowledge(error)

    async def diagnose(self, platform: str) -> tuple[Finding, ...]:
        """As ``CouponClient.diagnose``."""
        return await self._runtime.run(self._house.adapter(platform).diagnose())

    async def run(self, flow: Flow[T]) -> T:
        """As ``CouponClient.run``."""
        return await self._runtime.run(flow)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """As ``CouponClient.read``."""
        return await self._runtime.run(_transact(work))

    @property
    def setting(self) -> Setting:
        """As ``CouponClient.setting``."""
        return self._house.setting

    @property
    def clock(self) -> Clock:
        """As ``CouponClient.clock``."""
        return self._clock

    async def close(self) -> None:
        """Close connections. Flows that run are finished first."""
        await self._runtime.close()
        self._house.engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _transact(work: Callable[[Connection], T]) -> Flow[T]:
    return (yield from Transact(work))


def _adapter(name: str, section: Mapping[str, Any], keys: Keys) -> PlatformAdapter:
    plugin = registry.load(name)
    return plugin.build(plugin.settings.parse(section, within=f"platforms.{name}"), keys)


def _clock(settings: Settings) -> Clock:
    from unicom_coupon_sdk.runtime.clock import FollowedClock, SystemClock

    return (
        FollowedClock(settings.runtime.clock_url.removesuffix("/clock"))
        if settings.runtime.clock_url
        else SystemClock()
    )


def _master_key(material: bytes) -> bytes:
    try:
        key = base64.b64decode(material.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise ConfigurationError("ledger.master_key", field="ledger.master_key")
    return key
