"""Commits have a token each; facts' sources are found by version, and a phrase's first mention at once.

Revision ID: 0002
Revises: 0001
"""

from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    commits = op.create_table(
        "commits",
        sa.Column("collection_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name=op.f("fk_commits_collection_id")),
        sa.PrimaryKeyConstraint("collection_id", "version", name=op.f("pk_commits")),
    )
    with op.batch_alter_table("fact_sources", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_fact_sources_collection_id_version"), ["collection_id", "version"], unique=False
        )
    with op.batch_alter_table("mentions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_mentions_phrase_id"))
        batch_op.create_index(batch_op.f("ix_mentions_phrase_id_passage_id"), ["phrase_id", "passage_id"], unique=False)
    # Only the newest commit of each collection is known; nothing refers to older ones yet.
    collections = sa.table("collections", sa.column("id", sa.BigInteger), sa.column("version", sa.BigInteger))
    rows = op.get_bind().execute(sa.select(collections.c.id, collections.c.version).where(collections.c.version > 0))
    op.bulk_insert(
        commits,
        [
            {"collection_id": row.id, "version": row.version, "token": uuid4().hex, "created_at": datetime.now(UTC)}
            for row in rows
        ],
    )


def downgrade() -> None:
    with op.batch_alter_table("mentions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_mentions_phrase_id_passage_id"))
        batch_op.create_index(batch_op.f("ix_mentions_phrase_id"), ["phrase_id"], unique=False)
    with op.batch_alter_table("fact_sources", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_fact_sources_collection_id_version"))
    op.drop_table("commits")
