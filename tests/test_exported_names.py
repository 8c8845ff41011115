"""The public names, pinned: taking one away or adding one is a decision, seen in review."""

import importlib
import subprocess
import sys

import pytest

import unicom_coupon_sdk

NAMES = """
Acknowledgement AmountOff AsyncCouponClient BillFile BillKind BillNotReady BindRequest Binding BiometricProof
CalendarNotPublished CallerError Cash Challenge ChallengeRequest ComplianceError ConfigurationError Coupon
CouponClient CouponCode CouponError CouponEvent CouponState CouponStateError CouponTemplate Diagnosis Discrepancy
DiscrepancyClass Effected EventKind Exchange Fixed ForgedMessage Funding Holder IdempotencyConflict IssueRequest
IssuedBatch LedgerError LimitError LoginProof MatchedBy Method NewsKind NoBill Notice OneTimeCode OperationState Order
PayOut PayOutRequest Payee PercentOff PhoneCredit PhoneNumber PhoneProof PlatformError PlatformRefused
PlatformUnavailable PlatformUnknown PlatformUser QrToken Ratio Receiver Reconciliation Recovery RedeemRequest
Redemption Remainder Reversal ReversalCause ReverseRequest RiskError ScanProof Screening Secret Settings Settlement
Settlements Share ShareLine SharePart ShareRequest ShareRole ShareRule SmsProof TerminalProof UnsupportedOperation
ValidationError VerificationError VerifiedEvent VoidRequest Voided WalletProof __version__ fen_of_yuan yuan_text
"""


def test_the_public_names_are_these():
    assert sorted(unicom_coupon_sdk.__all__) == sorted(NAMES.split())


@pytest.mark.parametrize("name", sorted(NAMES.split()))
def test_every_public_name_is_there_and_is_listed_by_dir(name):
    assert getattr(unicom_coupon_sdk, name) is not None
    assert name in dir(unicom_coupon_sdk)


def test_a_star_import_brings_the_public_names():
    names: dict[str, object] = {}
    exec("from unicom_coupon_sdk import *", names)
    assert set(NAMES.split()) <= names.keys()


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = unicom_coupon_sdk.no_such_name


def test_the_sandboxs_public_names_are_these():
    sandbox = importlib.import_module("unicom_coupon_sdk.sandbox")
    assert set(sandbox.__all__) == {"Control", "DrivenControl", "Sandbox", "SandboxServer", "SandboxWorld", "serve"}


def test_importing_the_package_imports_nothing_heavy():
    heavy = "sqlalchemy, alembic, aiohttp, httpx, cryptography, pydantic, typer"
    code = f"import sys, unicom_coupon_sdk; print([n for n in '{heavy}'.split(', ') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
