"""Runs migrations on the connection that ``preparation`` hands over, in its transaction."""

from __future__ import annotations

from alembic import context

from unicom_coupon_sdk.ledger import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    version_table=schema.VERSION_TABLE,
    render_as_batch=True,
)
context.run_migrations()
