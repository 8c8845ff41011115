"""A counter: a sandbox of the gateway at noon in Beijing, its client, and a payer with a phone."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from unicom_coupon_adapters.unionpay_pos.acp.merchant import AcpMerchant
from unicom_coupon_adapters.unionpay_pos.acp.payment import Instruction, Payment
from unicom_coupon_adapters.unionpay_pos.emulation.acp.certificates import ENCRYPT, SIGN, STRANGER, Certificates
from unicom_coupon_sdk.client import CouponClient
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.sandbox import Sandbox

NOON = datetime(2026, 5, 20, 4, tzinfo=UTC)
PLATFORM = "unionpay_acp"
BACK = "/gateway/api/backTransReq.do"
QUERY = "/gateway/api/queryTrans.do"


@dataclass
class Counter:
    """One merchant at the gateway."""

    sandbox: Sandbox
    client: CouponClient
    acp: AcpMerchant = field(init=False)
    count: int = 0

    def __post_init__(self):
        shared = self.client.setting.adapter("unionpay_pos").acp
        self.acp = AcpMerchant(shared.settings, shared.gateway.keys)

    @property
    def payments(self):
        return self.acp.payments

    @property
    def now(self):
        return self.sandbox.clock.now()

    def run(self, flow):
        return self.client.run(flow)

    def instruction(self, amount_fen=12_800, order_id=None) -> Instruction:
        self.count += 1
        return Instruction.at(self.now, order_id=order_id or f"ORDER{self.count:07d}", amount_fen=amount_fen)

    def deliver(self, action, **wish):
        return self.sandbox.control.deliver(PLATFORM, action=action, **wish)

    def phone(self, holder="alice", **wish) -> Secret:
        return Secret(self.deliver("show", holder=holder, **wish)["qr_no"])

    def coupon(self, face_fen=5_000, holder="alice", **wish) -> str:
        made = self.sandbox.control.issue_coupons(PLATFORM, face_fen=face_fen, holder=holder, **wish)
        return made[0]["code"]

    def state(self, code):
        return self.sandbox.control.coupon(PLATFORM, code)["state"]

    def scan(self, sale, **wish) -> Payment:
        return self.run(self.payments.scan(sale, qr_no=self.phone(**wish), term_id="10000001"))

    def paid(self, amount_fen=12_800, **wish) -> tuple[Instruction, Payment]:
        sale = self.instruction(amount_fen)
        return sale, self.scan(sale, **wish)

    def fault(self, kind, match=None, **more):
        self.sandbox.control.add_fault(PLATFORM, kind, match=match, **more)

    def sent(self):
        """The request lines' paths so far."""
        exchanges = self.sandbox.control.requests(platform=PLATFORM)
        return [exchange["request_line"].split()[1] for exchange in exchanges]


@pytest.fixture(scope="session")
def _house():
    with Sandbox(seed=7, platforms=[PLATFORM], real=lambda: NOON) as sandbox, sandbox.client() as client:
        # Answers are signed by a certificate that is made at the first one, from then on: not where a test moved time.
        shelf = Certificates(sandbox.world.stations[PLATFORM].frame)
        for name in (SIGN, ENCRYPT, STRANGER):
            shelf.certificate_file(name)
        yield sandbox, client


@pytest.fixture
def counter(_house):
    """A counter where nothing has happened yet. Its client's ledger, which payments do not need, is shared."""
    sandbox, client = _house
    sandbox.control.reset()
    sandbox.control.clear_faults()
    sandbox.merchant = None
    return Counter(sandbox, client)


@pytest.fixture
def fresh_counter(_house):
    """The same with a ledger of its own, for what a client remembers."""
    sandbox, _ = _house
    sandbox.reset()
    sandbox.control.clear_faults()
    with sandbox.client() as client:
        yield Counter(sandbox, client)
    sandbox.merchant = None
