"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from unicom_coupon_sdk.ledger import append_only

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conclusion",
        sa.Column("operation_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("from_state", sa.String(length=64), nullable=False),
        sa.Column("to_state", sa.String(length=64), nullable=False),
        sa.Column("concluded_at", sa.BigInteger(), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.Column("platform_no", sa.Text(), nullable=True),
        sa.Column("refs", sa.Text(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("platform_code", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("settles_on", sa.String(length=64), nullable=True),
        sa.CheckConstraint(
            "to_state IN ('held', 'done', 'released', 'unknown', 'pending', 'reversing', 'reversed')",
            name=op.f("ck_conclusion_to_state"),
        ),
        sa.PrimaryKeyConstraint("operation_id", "number", name=op.f("pk_conclusion")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "counter",
        sa.Column("limit_name", sa.String(length=64), nullable=False),
        sa.Column("platform", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("subject_index", sa.String(length=64), nullable=False),
        sa.Column("window_name", sa.String(length=64), nullable=False),
        sa.Column("used_fen", sa.BigInteger(), nullable=False),
        sa.Column("used_count", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("used_fen >= 0 AND used_count >= 0", name=op.f("ck_counter_used")),
        sa.PrimaryKeyConstraint(
            "limit_name", "platform", "subject", "subject_index", "window_name", name=op.f("pk_counter")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "entry",
        sa.Column("entry_id", sa.String(length=64), nullable=False),
        sa.Column("operation_id", sa.String(length=64), nullable=False),
        sa.Column("coupon_id", sa.String(length=64), nullable=True),
        sa.Column("booked_on", sa.String(length=10), nullable=False),
        sa.Column("booked_at", sa.BigInteger(), nullable=False),
        sa.Column("reverses", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["reverses"], ["entry.entry_id"], name=op.f("fk_entry_reverses_entry")),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_entry")),
        sa.UniqueConstraint("reverses", name=op.f("uq_entry_reverses")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "inbox",
        sa.Column("platform", sa.String(length=64), nullable=False),
        sa.Column("event_id", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("type_name", sa.String(length=128), nullable=False),
        sa.Column("operation_no", sa.String(length=128), nullable=True),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("platform", "event_id", name=op.f("pk_inbox")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "nonce",
        sa.Column("platform", sa.String(length=64), nullable=False),
        sa.Column("nonce", sa.String(length=128), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("platform", "nonce", name=op.f("pk_nonce")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("nonce", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_nonce_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "serial",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_serial")),
    )
    op.create_table(
        "template",
        sa.Column("template_id", sa.String(length=64), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("max_total", sa.BigInteger(), nullable=False),
        sa.Column("issued", sa.BigInteger(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("issued >= 0 AND issued <= max_total", name=op.f("ck_template_issued")),
        sa.PrimaryKeyConstraint("template_id", name=op.f("pk_template")),
    )
    op.create_table(
        "batch",
        sa.Column("batch_id", sa.String(length=64), nullable=False),
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("idempotency_key", sa.String(length=64), nullable=False),
        sa.Column("input_hash", sa.LargeBinary(), nullable=False),
        sa.Column("template_id", sa.String(length=64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["template_id"], ["template.template_id"], name=op.f("fk_batch_template_id_template")),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_batch")),
        sa.UniqueConstraint("merchant_id", "idempotency_key", name=op.f("uq_batch_merchant_id_idempotency_key")),
    )
    with op.batch_alter_table("batch", schema=None) as batch_op:
        batch_op.create_index(
            "ix_batch_unfinished",
            ["issued_at"],
            unique=False,
            sqlite_where=sa.text("finished_at IS NULL"),
            postgresql_where=sa.text("finished_at IS NULL"),
        )

    op.create_table(
        "holder_count",
        sa.Column("template_id", sa.String(length=64), nullable=False),
        sa.Column("holder_index", sa.LargeBinary(), nullable=False),
        sa.Column("bound", sa.Integer(), nullable=False),
        sa.CheckConstraint("bound >= 0", name=op.f("ck_holder_count_bound")),
        sa.ForeignKeyConstraint(
            ["template_id"], ["template.template_id"], name=op.f("fk_holder_count_template_id_template")
        ),
        sa.PrimaryKeyConstraint("template_id", "holder_index", name=op.f("pk_holder_count")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "listing",
        sa.Column("template_id", sa.String(length=64), nullable=False),
        sa.Column("platform", sa.String(length=64), nullable=False),
        sa.Column("refs", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["template_id"], ["template.template_id"], name=op.f("fk_listing_template_id_template")
        ),
        sa.PrimaryKeyConstraint("template_id", "platform", name=op.f("pk_listing")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "posting",
        sa.Column("entry_id", sa.String(length=64), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("account", sa.String(length=128), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_fen <> 0", name=op.f("ck_posting_amount_fen")),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.entry_id"], name=op.f("fk_posting_entry_id_entry")),
        sa.PrimaryKeyConstraint("entry_id", "line", name=op.f("pk_posting")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "batch_platform",
        sa.Column("batch_id", sa.String(length=64), nullable=False),
        sa.Column("platform", sa.String(length=64), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.batch_id"], name=op.f("fk_batch_platform_batch_id_batch")),
        sa.PrimaryKeyConstraint("batch_id", "platform", name=op.f("pk_batch_platform")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "coupon",
        sa.Column("coupon_id", sa.String(length=64), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("code_index", sa.LargeBinary(), nullable=False),
        sa.Column("code_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("template_id", sa.String(length=64), nullable=False),
        sa.Column("batch_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=False),
        sa.Column("holder_index", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "state IN ('issued', 'available', 'held', 'redeemed', 'reversing', 'expired', 'void')",
            name=op.f("ck_coupon_state"),
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_coupon_version")),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.batch_id"], name=op.f("fk_coupon_batch_id_batch")),
        sa.ForeignKeyConstraint(["template_id"], ["template.template_id"], name=op.f("fk_coupon_template_id_template")),
        sa.PrimaryKeyConstraint("coupon_id", name=op.f("pk_coupon")),
        sa.UniqueConstraint("code_index", name=op.f("uq_coupon_code_index")),
        sa.UniqueConstraint("serial", name=op.f("uq_coupon_serial")),
    )
    with op.batch_alter_table("coupon", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_coupon_batch_id"), ["batch_id"], unique=False)
        batch_op.create_index(
            "ix_coupon_holder_index",
            ["holder_index"],
            unique=False,
            sqlite_where=sa.text("holder_index IS NOT NULL"),
            postgresql_where=sa.text("holder_index IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_coupon_perishable",
            ["valid_until"],
            unique=False,
            sqlite_where=sa.text("state IN ('issued', 'available')"),
            postgresql_where=sa.text("state IN ('issued', 'available')"),
        )

    op.create_table(
        "binding",
        sa.Column("coupon_id", sa.String(length=64), nullable=False),
        sa.Column("platform", sa.String(length=64), nullable=False),
        sa.Column("binding_no", sa.String(length=64), nullable=False),
        sa.Column("stage", sa.String(length=64), nullable=False),
        sa.Column("user_index", sa.LargeBinary(), nullable=True),
        sa.Column("user_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("refs", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("bound_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("stage IN ('started', 'pending', 'bound')", name=op.f("ck_binding_stage")),
        sa.ForeignKeyConstraint(["coupon_id"], ["coupon.coupon_id"], name=op.f("fk_binding_coupon_id_coupon")),
        sa.PrimaryKeyConstraint("coupon_id", "platform", name=op.f("pk_binding")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("binding", schema=None) as batch_op:
        batch_op.create_index(
            "ix_binding_user_index",
            ["user_index"],
            unique=False,
            sqlite_where=sa.text("user_index IS NOT NULL"),
            postgresql_where=sa.text("user_index IS NOT NULL"),
        )

    op.create_table(
        "challenge",
        sa.Column("challenge_id", sa.String(length=64), nullable=False),
        sa.Column("coupon_id", sa.String(length=64), nullable=False),
        sa.Column("platform", sa.String(length=64), nullable=False),
        sa.Column("method", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("instructions_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("holder_index", sa.LargeBinary(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["coupon_id"], ["coupon.coupon_id"], name=op.f("fk_challenge_coupon_id_coupon")),
        sa.PrimaryKeyConstraint("challenge_id", name=op.f("pk_challenge")),
    )
    op.create_table(
        "outbox",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("coupon_id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("happened_at", sa.BigInteger(), nullable=False),
        sa.Column("platform", sa.String(length=64), nullable=True),
        sa.Column("operation_id", sa.String(length=64), nullable=True),
        sa.Column("value_fen", sa.BigInteger(), nullable=True),
        sa.Column("published_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["coupon_id"], ["coupon.coupon_id"], name=op.f("fk_outbox_coupon_id_coupon")),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_outbox")),
        sa.UniqueConstraint("coupon_id", "version", name=op.f("uq_outbox_coupon_id_version")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.create_index(
            "ix_outbox_unpublished",
            ["sequence"],
            unique=False,
            sqlite_where=sa.text("published_at IS NULL"),
            postgresql_where=sa.text("published_at IS NULL"),
        )

    op.create_table(
        "redemption",
        sa.Column("redemption_id", sa.String(length=64), nullable=False),
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("idempotency_key", sa.String(length=64), nullable=False),
        sa.Column("input_hash", sa.LargeBinary(), nullable=False),
        sa.Column("coupon_id", sa.String(length=64), nullable=False),
        sa.Column("template_id", sa.String(length=64), nullable=False),
        sa.Column("platform", sa.String(length=64), nullable=False),
        sa.Column("order_json", sa.Text(), nullable=False),
        sa.Column("value_fen", sa.BigInteger(), nullable=False),
        sa.Column("method", sa.String(length=64), nullable=False),
        sa.Column("verified_at", sa.BigInteger(), nullable=False),
        sa.Column("device_index", sa.String(length=64), nullable=True),
        sa.Column("challenge_id", sa.String(length=64), nullable=True),
        sa.Column("held_at", sa.BigInteger(), nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("conclusions", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "state IN ('held', 'done', 'released', 'unknown', 'pending', 'reversing', 'reversed')",
            name=op.f("ck_redemption_state"),
        ),
        sa.CheckConstraint("value_fen >= 0", name=op.f("ck_redemption_value_fen")),
        sa.ForeignKeyConstraint(["coupon_id"], ["coupon.coupon_id"], name=op.f("fk_redemption_coupon_id_coupon")),
        sa.PrimaryKeyConstraint("redemption_id", name=op.f("pk_redemption")),
        sa.UniqueConstraint("merchant_id", "idempotency_key", name=op.f("uq_redemption_merchant_id_idempotency_key")),
    )
    with op.batch_alter_table("redemption", schema=None) as batch_op:
        batch_op.create_index(
            "ix_redemption_unsettled",
            ["deadline"],
            unique=False,
            sqlite_where=sa.text("state IN ('held', 'unknown', 'pending')"),
            postgresql_where=sa.text("state IN ('held', 'unknown', 'pending')"),
        )
        batch_op.create_index(
            "uq_redemption_live",
            ["coupon_id"],
            unique=True,
            sqlite_where=sa.text("state IN ('held', 'unknown', 'pending', 'done', 'reversing')"),
            postgresql_where=sa.text("state IN ('held', 'unknown', 'pending', 'done', 'reversing')"),
        )

    op.create_table(
        "consumption",
        sa.Column("redemption_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("limit_name", sa.String(length=64), nullable=False),
        sa.Column("platform", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("subject_index", sa.String(length=64), nullable=False),
        sa.Column("window_name", sa.String(length=64), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("given_back_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("amount_fen >= 0", name=op.f("ck_consumption_amount_fen")),
        sa.ForeignKeyConstraint(
            ["redemption_id"], ["redemption.redemption_id"], name=op.f("fk_consumption_redemption_id_redemption")
        ),
        sa.PrimaryKeyConstraint("redemption_id", "number", name=op.f("pk_consumption")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "reversal",
        sa.Column("reversal_id", sa.String(length=64), nullable=False),
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("idempotency_key", sa.String(length=64), nullable=False),
        sa.Column("input_hash", sa.LargeBinary(), nullable=False),
        sa.Column("redemption_id", sa.String(length=64), nullable=False),
        sa.Column("coupon_id", sa.String(length=64), nullable=False),
        sa.Column("platform", sa.String(length=64), nullable=False),
        sa.Column("cause", sa.String(length=64), nullable=False),
        sa.Column("note", sa.String(length=64), nullable=False),
        sa.Column("value_fen", sa.BigInteger(), nullable=False),
        sa.Column("held_at", sa.BigInteger(), nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("conclusions", sa.Integer(), nullable=False),
        sa.CheckConstraint("state IN ('held', 'done', 'released', 'unknown')", name=op.f("ck_reversal_state")),
        sa.ForeignKeyConstraint(["coupon_id"], ["coupon.coupon_id"], name=op.f("fk_reversal_coupon_id_coupon")),
        sa.ForeignKeyConstraint(
            ["redemption_id"], ["redemption.redemption_id"], name=op.f("fk_reversal_redemption_id_redemption")
        ),
        sa.PrimaryKeyConstraint("reversal_id", name=op.f("pk_reversal")),
        sa.UniqueConstraint("merchant_id", "idempotency_key", name=op.f("uq_reversal_merchant_id_idempotency_key")),
    )
    with op.batch_alter_table("reversal", schema=None) as batch_op:
        batch_op.create_index(
            "ix_reversal_unsettled",
            ["deadline"],
            unique=False,
            sqlite_where=sa.text("state IN ('held', 'unknown')"),
            postgresql_where=sa.text("state IN ('held', 'unknown')"),
        )
        batch_op.create_index(
            "uq_reversal_live",
            ["redemption_id"],
            unique=True,
            sqlite_where=sa.text("state IN ('held', 'unknown', 'done')"),
            postgresql_where=sa.text("state IN ('held', 'unknown', 'done')"),
        )
    append_only.guard(op.get_bind(), ("conclusion", "entry", "posting"))


def downgrade() -> None:
    raise NotImplementedError("a ledger is never taken back to before its first tables")
