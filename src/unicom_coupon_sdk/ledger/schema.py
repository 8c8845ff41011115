"""The tables.

Every column is an integer, a text or bytes, so that SQLite and PostgreSQL keep and return the same values:

- money is a whole number of fen; an instant is whole microseconds since 1970 in UTC (``…_at``, ``deadline``);
- a business date is ISO text of the Beijing day; structured values are canonical JSON text;
- personal data is sealed (``…_sealed``), with a keyed blind index beside it where it is looked up (``…_index``).

A redemption is two records: its row is the hold, and ``conclusion`` is append-only. ``posting`` and ``outbox`` are
append-only too, but for the mark that an event was published. What must never happen is also an index: at most one
live redemption of a coupon, at most one live reversal of a redemption, one event of a version.
"""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from unicom_coupon_sdk.domain.state import CouponState, OperationState

HISTORY = ("0001", "0002", "0003")
"""Every migration, oldest first."""

REVISION = HISTORY[-1]
"""The migration that these tables stand at."""

VERSION_TABLE = "ledger_version"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_ID = String(64)
_NAME = String(64)
_KEY = BigInteger().with_variant(Integer, "sqlite")


def _one_of(states: type[StrEnum], *, column: str = "state") -> CheckConstraint:
    listed = ", ".join(f"'{state.value}'" for state in states)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


template = Table(
    "template",
    metadata,
    Column("template_id", _ID, primary_key=True),
    Column("content", Text, nullable=False),
    Column("max_total", BigInteger, nullable=False),
    Column("issued", BigInteger, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    CheckConstraint("issued >= 0 AND issued <= max_total", name="issued"),
)

serial = Table(
    "serial",
    metadata,
    Column("name", _NAME, primary_key=True),
    Column("next", BigInteger, nullable=False),
)

batch = Table(
    "batch",
    metadata,
    Column("batch_id", _ID, primary_key=True),
    Column("merchant_id", _ID, nullable=False),
    Column("idempotency_key", _ID, nullable=False),
    Column("input_hash", LargeBinary, nullable=False),
    Column("template_id", _ID, ForeignKey("template.template_id"), nullable=False),
    Column("size", Integer, nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    UniqueConstraint("merchant_id", "idempotency_key"),
    _partial("ix_batch_unfinished", "issued_at", where="finished_at IS NULL"),
)

batch_platform = Table(
    "batch_platform",
    metadata,
    Column("batch_id", _ID, ForeignKey("batch.batch_id"), nullable=False),
    Column("platform", _NAME, nullable=False),
    Column("registered_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("batch_id", "platform"),
    sqlite_with_rowid=False,
)

listing = Table(
    "listing",
    metadata,
    Column("template_id", _ID, ForeignKey("template.template_id"), nullable=False),
    Column("platform", _NAME, nullable=False),
    Column("refs", Text, nullable=False),
    PrimaryKeyConstraint("template_id", "platform"),
    sqlite_with_rowid=False,
)

coupon = Table(
    "coupon",
    metadata,
    Column("coupon_id", _ID, primary_key=True),
    Column("serial", BigInteger, nullable=False, unique=True),
    Column("code_index", LargeBinary, nullable=False, unique=True),
    Column("code_sealed", LargeBinary, nullable=False),
    Column("template_id", _ID, ForeignKey("template.template_id"), nullable=False),
    Column("batch_id", _ID, ForeignKey("batch.batch_id"), nullable=False, index=True),
    Column("state", _NAME, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("valid_until", BigInteger, nullable=False),
    Column("holder_index", LargeBinary),
    _one_of(CouponState),
    CheckConstraint("version >= 1", name="version"),
    _partial("ix_coupon_holder_index", "holder_index", where="holder_index IS NOT NULL"),
    _partial("ix_coupon_perishable", "valid_until", where="state IN ('issued', 'available')"),
)

holder_count = Table(
    "holder_count",
    metadata,
    Column("template_id", _ID, ForeignKey("template.template_id"), nullable=False),
    Column("holder_index", LargeBinary, nullable=False),
    Column("bound", Integer, nullable=False),
    PrimaryKeyConstraint("template_id", "holder_index"),
    CheckConstraint("bound >= 0", name="bound"),
    sqlite_with_rowid=False,
)

binding = Table(
    "binding",
    metadata,
    Column("coupon_id", _ID, ForeignKey("coupon.coupon_id"), nullable=False),
    Column("platform", _NAME, nullable=False),
    Column("binding_no", _ID, nullable=False),
    Column("stage", _NAME, nullable=False),
    Column("user_index", LargeBinary),
    Column("user_sealed", LargeBinary),
    Column("refs", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("bound_at", BigInteger),
    PrimaryKeyConstraint("coupon_id", "platform"),
    CheckConstraint("stage IN ('started', 'pending', 'bound')", name="stage"),
    _partial("ix_binding_user_index", "user_index", where="user_index IS NOT NULL"),
    sqlite_with_rowid=False,
)

challenge = Table(
    "challenge",
    metadata,
    Column("challenge_id", _ID, primary_key=True),
    Column("coupon_id", _ID, ForeignKey("coupon.coupon_id"), nullable=False),
    Column("platform", _NAME, nullable=False),
    Column("method", _NAME, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("instructions_sealed", LargeBinary, nullable=False),
    Column("holder_index", LargeBinary),
    Column("attempts", Integer, nullable=False),
    Column("used_at", BigInteger),
)

redemption = Table(
    "redemption",
    metadata,
    Column("redemption_id", _ID, primary_key=True),
    Column("merchant_id", _ID, nullable=False),
    Column("idempotency_key", _ID, nullable=False),
    Column("input_hash", LargeBinary, nullable=False),
    Column("coupon_id", _ID, ForeignKey("coupon.coupon_id"), nullable=False),
    Column("template_id", _ID, nullable=False),
    Column("platform", _NAME, nullable=False),
    Column("order_json", Text, nullable=False),
    Column("value_fen", BigInteger, nullable=False),
    Column("method", _NAME, nullable=False),
    Column("verified_at", BigInteger, nullable=False),
    Column("device_index", _ID),
    Column("challenge_id", _ID),
    Column("held_at", BigInteger, nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("state", _NAME, nullable=False),
    Column("conclusions", Integer, nullable=False),
    UniqueConstraint("merchant_id", "idempotency_key"),
    _one_of(OperationState),
    CheckConstraint("value_fen >= 0", name="value_fen"),
    _partial(
        "uq_redemption_live",
        "coupon_id",
        where="state IN ('held', 'unknown', 'pending', 'done', 'reversing')",
        unique=True,
    ),
    _partial("ix_redemption_unsettled", "deadline", where="state IN ('held', 'unknown', 'pending')"),
)

reversal = Table(
    "reversal",
    metadata,
    Column("reversal_id", _ID, primary_key=True),
    Column("merchant_id", _ID, nullable=False),
    Column("idempotency_key", _ID, nullable=False),
    Column("input_hash", LargeBinary, nullable=False),
    Column("redemption_id", _ID, ForeignKey("redemption.redemption_id"), nullable=False),
    Column("coupon_id", _ID, ForeignKey("coupon.coupon_id"), nullable=False),
    Column("platform", _NAME, nullable=False),
    Column("cause", _NAME, nullable=False),
    Column("note", String(64), nullable=False),
    Column("value_fen", BigInteger, nullable=False),
    Column("held_at", BigInteger, nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("state", _NAME, nullable=False),
    Column("conclusions", Integer, nullable=False),
    UniqueConstraint("merchant_id", "idempotency_key"),
    CheckConstraint("state IN ('held', 'done', 'released', 'unknown')", name="state"),
    _partial("uq_reversal_live", "redemption_id", where="state IN ('held', 'unknown', 'done')", unique=True),
    _partial("ix_reversal_unsettled", "deadline", where="state IN ('held', 'unknown')"),
)

conclusion = Table(
    "conclusion",
    metadata,
    Column("operation_id", _ID, nullable=False),
    Column("number", Integer, nullable=False),
    Column("from_state", _NAME, nullable=False),
    Column("to_state", _NAME, nullable=False),
    Column("concluded_at", BigInteger, nullable=False),
    Column("done_at", BigInteger),
    Column("platform_no", Text),
    Column("refs", Text, nullable=False),
    Column("error_code", Text),
    Column("platform_code", Text),
    Column("request_id", Text),
    Column("settles_on", _NAME),
    PrimaryKeyConstraint("operation_id", "number"),
    _one_of(OperationState, column="to_state"),
    sqlite_with_rowid=False,
)

share = Table(
    "share",
    metadata,
    Column("share_id", _ID, primary_key=True),
    Column("merchant_id", _ID, nullable=False),
    Column("idempotency_key", _ID, nullable=False),
    Column("input_hash", LargeBinary, nullable=False),
    Column("redemption_id", _ID, ForeignKey("redemption.redemption_id"), nullable=False, index=True),
    Column("platform", _NAME, nullable=False),
    Column("rule", _ID, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("held_at", BigInteger, nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("state", _NAME, nullable=False),
    Column("conclusions", Integer, nullable=False),
    UniqueConstraint("merchant_id", "idempotency_key"),
    CheckConstraint("state IN ('held', 'done', 'released', 'unknown', 'pending')", name="state"),
    _partial("ix_share_unsettled", "deadline", where="state IN ('held', 'unknown', 'pending')"),
)

share_line = Table(
    "share_line",
    metadata,
    Column("share_id", _ID, ForeignKey("share.share_id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("role", _NAME, nullable=False),
    Column("receiver_sealed", LargeBinary, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("state", _NAME, nullable=False),
    Column("platform_no", Text),
    Column("error_code", Text),
    Column("ended_at", BigInteger),
    PrimaryKeyConstraint("share_id", "number"),
    CheckConstraint("amount_fen > 0", name="amount_fen"),
    CheckConstraint("state IN ('held', 'done', 'released')", name="state"),
    sqlite_with_rowid=False,
)

share_return = Table(
    "share_return",
    metadata,
    Column("return_id", _ID, primary_key=True),
    Column("share_id", _ID, nullable=False),
    Column("number", Integer, nullable=False),
    Column("platform", _NAME, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("held_at", BigInteger, nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("state", _NAME, nullable=False),
    Column("conclusions", Integer, nullable=False),
    UniqueConstraint("share_id", "number"),
    ForeignKeyConstraint(["share_id", "number"], ["share_line.share_id", "share_line.number"]),
    CheckConstraint("state IN ('held', 'done', 'released', 'unknown', 'pending')", name="state"),
    _partial("ix_share_return_unsettled", "deadline", where="state IN ('held', 'unknown', 'pending')"),
)

settlement = Table(
    "settlement",
    metadata,
    Column("settlement_id", _ID, primary_key=True),
    Column("merchant_id", _ID, nullable=False),
    Column("platform", _NAME, nullable=False),
    Column("settles_on", String(10), nullable=False),
    Column("number", Integer, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("size", Integer, nullable=False),
    Column("value_fen", BigInteger, nullable=False),
    Column("fee_fen", BigInteger, nullable=False),
    Column("advance_fee_fen", BigInteger, nullable=False),
    Column("settled_at", BigInteger),
    UniqueConstraint("merchant_id", "platform", "settles_on", "number"),
    CheckConstraint("size > 0", name="size"),
    _partial("ix_settlement_expected", "settles_on", where="settled_at IS NULL"),
)

settlement_item = Table(
    "settlement_item",
    metadata,
    Column("operation_id", _ID, primary_key=True),
    Column("settlement_id", _ID, ForeignKey("settlement.settlement_id"), nullable=False, index=True),
    Column("value_fen", BigInteger, nullable=False),
    Column("fee_fen", BigInteger, nullable=False),
    Column("advance_fee_fen", BigInteger, nullable=False),
    Column("matched_at", BigInteger),
    Column("matched_by", _NAME),
    sqlite_with_rowid=False,
)

bill = Table(
    "bill",
    metadata,
    Column("platform", _NAME, nullable=False),
    Column("kind", _NAME, nullable=False),
    Column("day", String(10), nullable=False),
    Column("sha256", _ID, nullable=False),
    Column("content", Text, nullable=False),
    Column("is_final", Integer, nullable=False),
    Column("fetched_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("platform", "kind", "day", "sha256"),
    sqlite_with_rowid=False,
)
"""Bills that were fetched; ``sha256`` is empty where the platform has none that day. A corrected one is another."""

reconciliation = Table(
    "reconciliation",
    metadata,
    Column("merchant_id", _ID, nullable=False),
    Column("platform", _NAME, nullable=False),
    Column("day", String(10), nullable=False),
    Column("inputs", _ID, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("content", Text, nullable=False),
    PrimaryKeyConstraint("merchant_id", "platform", "day"),
    sqlite_with_rowid=False,
)
"""The newest reconciliation of each platform and day; ``inputs`` is the digest of what it compared."""

discrepancy = Table(
    "discrepancy",
    metadata,
    Column("merchant_id", _ID, nullable=False),
    Column("discrepancy_id", _ID, nullable=False),
    Column("platform", _NAME, nullable=False),
    Column("day", String(10), nullable=False),
    Column("difference", _NAME, nullable=False),
    Column("content", Text, nullable=False),
    Column("found_at", BigInteger, nullable=False),
    Column("seen_on", String(10), nullable=False),
    Column("met_on", String(10)),
    Column("gone_at", BigInteger),
    PrimaryKeyConstraint("merchant_id", "discrepancy_id"),
    _partial("ix_discrepancy_open", "platform", "day", where="met_on IS NULL AND gone_at IS NULL"),
    sqlite_with_rowid=False,
)
"""What did not agree. ``seen_on``: the last day whose reconciliation found it; ``met_on``: the day in whose bill the
missing side came; ``gone_at``: when the same day was reconciled again without it."""

counter = Table(
    "counter",
    metadata,
    Column("limit_name", _NAME, nullable=False),
    Column("platform", _NAME, nullable=False),
    Column("subject", _NAME, nullable=False),
    Column("subject_index", _ID, nullable=False),
    Column("window_name", _NAME, nullable=False),
    Column("used_fen", BigInteger, nullable=False),
    Column("used_count", BigInteger, nullable=False),
    PrimaryKeyConstraint("limit_name", "platform", "subject", "subject_index", "window_name"),
    CheckConstraint("used_fen >= 0 AND used_count >= 0", name="used"),
    sqlite_with_rowid=False,
)

consumption = Table(
    "consumption",
    metadata,
    Column("redemption_id", _ID, ForeignKey("redemption.redemption_id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("limit_name", _NAME, nullable=False),
    Column("platform", _NAME, nullable=False),
    Column("subject", _NAME, nullable=False),
    Column("subject_index", _ID, nullable=False),
    Column("window_name", _NAME, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("given_back_at", BigInteger),
    PrimaryKeyConstraint("redemption_id", "number"),
    CheckConstraint("amount_fen >= 0", name="amount_fen"),
    sqlite_with_rowid=False,
)

entry = Table(
    "entry",
    metadata,
    Column("entry_id", _ID, primary_key=True),
    Column("operation_id", _ID, nullable=False),
    Column("coupon_id", _ID),
    Column("booked_on", String(10), nullable=False),
    Column("booked_at", BigInteger, nullable=False),
    Column("reverses", _ID, ForeignKey("entry.entry_id"), unique=True),
    sqlite_with_rowid=False,
)

posting = Table(
    "posting",
    metadata,
    Column("entry_id", _ID, ForeignKey("entry.entry_id"), nullable=False),
    Column("line", Integer, nullable=False),
    Column("account", String(128), nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    PrimaryKeyConstraint("entry_id", "line"),
    CheckConstraint("amount_fen <> 0", name="amount_fen"),
    sqlite_with_rowid=False,
)

outbox = Table(
    "outbox",
    metadata,
    Column("sequence", _KEY, primary_key=True, autoincrement=True),
    Column("coupon_id", _ID, ForeignKey("coupon.coupon_id"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("kind", _NAME, nullable=False),
    Column("happened_at", BigInteger, nullable=False),
    Column("platform", _NAME),
    Column("operation_id", _ID),
    Column("value_fen", BigInteger),
    Column("published_at", BigInteger),
    UniqueConstraint("coupon_id", "version"),
    _partial("ix_outbox_unpublished", "sequence", where="published_at IS NULL"),
    sqlite_autoincrement=True,
)

inbox = Table(
    "inbox",
    metadata,
    Column("platform", _NAME, nullable=False),
    Column("event_id", String(128), nullable=False),
    Column("kind", _NAME, nullable=False),
    Column("type_name", String(128), nullable=False),
    Column("operation_no", String(128)),
    Column("occurred_at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("platform", "event_id"),
    sqlite_with_rowid=False,
)

nonce = Table(
    "nonce",
    metadata,
    Column("platform", _NAME, nullable=False),
    Column("nonce", String(128), nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    PrimaryKeyConstraint("platform", "nonce"),
    sqlite_with_rowid=False,
)

note = Table(
    "note",
    metadata,
    Column("platform", _NAME, nullable=False),
    Column("name", String(128), nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("platform", "name"),
    sqlite_with_rowid=False,
)
"""What adapters remember between calls; read and written by ``platform.notebook``."""
