"""Purges of what was forgotten, and rules by which documents are forgotten as they grow old.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "purges",
        sa.Column("id", big, nullable=False),
        sa.Column("collection_id", big, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("steps", sa.JSON(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("waits_for", sa.Text(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purges")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("purges", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_purges_state"), ["state"])
        batch_op.create_index(batch_op.f("ix_purges_collection_id_version"), ["collection_id", "version"])
    op.create_table(
        "retention_rules",
        sa.Column("collection_id", big, nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("age_of", sa.String(length=16), nullable=False),
        sa.Column("max_age_days", sa.BigInteger(), nullable=True),
        sa.Column("filter", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ran_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("forgotten", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name=op.f("fk_retention_rules_collection_id")),
        sa.PrimaryKeyConstraint("collection_id", "name", name=op.f("pk_retention_rules")),
    )


def downgrade() -> None:
    op.drop_table("retention_rules")
    op.drop_table("purges")
