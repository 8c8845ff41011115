"""Clearing: shares and their returns, settlements, bills, and what reconciling them found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bill",
        sa.Column("platform", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("is_final", sa.Integer(), nullable=False),
        sa.Column("fetched_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("platform", "kind", "day", "sha256", name=op.f("pk_bill")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "discrepancy",
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("discrepancy_id", sa.String(length=64), nullable=False),
        sa.Column("platform", sa.String(length=64), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("difference", sa.String(length=64), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_on", sa.String(length=10), nullable=False),
        sa.Column("met_on", sa.String(length=10), nullable=True),
        sa.Column("gone_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "discrepancy_id", name=op.f("pk_discrepancy")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("discrepancy", schema=None) as batch_op:
        batch_op.create_index(
            "ix_discrepancy_open",
            ["platform", "day"],
            unique=False,
            sqlite_where=sa.text("met_on IS NULL AND gone_at IS NULL"),
            postgresql_where=sa.text("met_on IS NULL AND gone_at IS NULL"),
        )

    op.create_table(
        "reconciliation",
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("platform", sa.String(length=64), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("inputs", sa.String(length=64), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "platform", "day", name=op.f("pk_reconciliation")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "settlement",
        sa.Column("settlement_id", sa.String(length=64), nullable=False),
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("platform", sa.String(length=64), nullable=False),
        sa.Column("settles_on", sa.String(length=10), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("value_fen", sa.BigInteger(), nullable=False),
        sa.Column("fee_fen", sa.BigInteger(), nullable=False),
        sa.Column("advance_fee_fen", sa.BigInteger(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("size > 0", name=op.f("ck_settlement_size")),
        sa.PrimaryKeyConstraint("settlement_id", name=op.f("pk_settlement")),
        sa.UniqueConstraint(
            "merchant_id",
            "platform",
            "settles_on",
            "number",
            name=op.f("uq_settlement_merchant_id_platform_settles_on_number"),
        ),
    )
    with op.batch_alter_table("settlement", schema=None) as batch_op:
        batch_op.create_index(
            "ix_settlement_expected",
            ["settles_on"],
            unique=False,
            sqlite_where=sa.text("settled_at IS NULL"),
            postgresql_where=sa.text("settled_at IS NULL"),
        )

    op.create_table(
        "settlement_item",
        sa.Column("operation_id", sa.String(length=64), nullable=False),
        sa.Column("settlement_id", sa.String(length=64), nullable=False),
        sa.Column("value_fen", sa.BigInteger(), nullable=False),
        sa.Column("fee_fen", sa.BigInteger(), nullable=False),
        sa.Column("advance_fee_fen", sa.BigInteger(), nullable=False),
        sa.Column("matched_at", sa.BigInteger(), nullable=True),
        sa.Column("matched_by", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["settlement_id"], ["settlement.settlement_id"], name=op.f("fk_settlement_item_settlement_id_settlement")
        ),
        sa.PrimaryKeyConstraint("operation_id", name=op.f("pk_settlement_item")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("settlement_item", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_settlement_item_settlement_id"), ["settlement_id"], unique=False)

    op.create_table(
        "share",
        sa.Column("share_id", sa.String(length=64), nullable=False),
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("idempotency_key", sa.String(length=64), nullable=False),
        sa.Column("input_hash", sa.LargeBinary(), nullable=False),
        sa.Column("redemption_id", sa.String(length=64), nullable=False),
        sa.Column("platform", sa.String(length=64), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("held_at", sa.BigInteger(), nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("conclusions", sa.Integer(), nullable=False),
        sa.CheckConstraint("state IN ('held', 'done', 'released', 'unknown', 'pending')", name=op.f("ck_share_state")),
        sa.ForeignKeyConstraint(
            ["redemption_id"], ["redemption.redemption_id"], name=op.f("fk_share_redemption_id_redemption")
        ),
        sa.PrimaryKeyConstraint("share_id", name=op.f("pk_share")),
        sa.UniqueConstraint("merchant_id", "idempotency_key", name=op.f("uq_share_merchant_id_idempotency_key")),
    )
    with op.batch_alter_table("share", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_share_redemption_id"), ["redemption_id"], unique=False)
        batch_op.create_index(
            "ix_share_unsettled",
            ["deadline"],
            unique=False,
            sqlite_where=sa.text("state IN ('held', 'unknown', 'pending')"),
            postgresql_where=sa.text("state IN ('held', 'unknown', 'pending')"),
        )

    op.create_table(
        "share_line",
        sa.Column("share_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.Column("receiver_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("platform_no", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('held', 'done', 'released')", name=op.f("ck_share_line_state")),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_share_line_amount_fen")),
        sa.ForeignKeyConstraint(["share_id"], ["share.share_id"], name=op.f("fk_share_line_share_id_share")),
        sa.PrimaryKeyConstraint("share_id", "number", name=op.f("pk_share_line")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "share_return",
        sa.Column("return_id", sa.String(length=64), nullable=False),
        sa.Column("share_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("platform", sa.String(length=64), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("held_at", sa.BigInteger(), nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("conclusions", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "state IN ('held', 'done', 'released', 'unknown', 'pending')", name=op.f("ck_share_return_state")
        ),
        sa.ForeignKeyConstraint(
            ["share_id", "number"],
            ["share_line.share_id", "share_line.number"],
            name=op.f("fk_share_return_share_id_number_share_line"),
        ),
        sa.PrimaryKeyConstraint("return_id", name=op.f("pk_share_return")),
        sa.UniqueConstraint("share_id", "number", name=op.f("uq_share_return_share_id_number")),
    )
    with op.batch_alter_table("share_return", schema=None) as batch_op:
        batch_op.create_index(
            "ix_share_return_unsettled",
            ["deadline"],
            unique=False,
            sqlite_where=sa.text("state IN ('held', 'unknown', 'pending')"),
            postgresql_where=sa.text("state IN ('held', 'unknown', 'pending')"),
        )


def downgrade() -> None:
    for table in (
        "discrepancy", "reconciliation", "bill", "settlement_item", "settlement", "share_return", "share_line", "share",
    ):  # fmt: skip
        op.drop_table(table)
