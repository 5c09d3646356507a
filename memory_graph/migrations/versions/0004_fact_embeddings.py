"""Facts can have vectors; those that were learned before have none until they are learned again.

Revision ID: 0004
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fact_embeddings",
        sa.Column("fact_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("collection_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name=op.f("fk_fact_embeddings_collection_id")),
        sa.ForeignKeyConstraint(["fact_id"], ["facts.id"], name=op.f("fk_fact_embeddings_fact_id")),
        sa.PrimaryKeyConstraint("fact_id", name=op.f("pk_fact_embeddings")),
    )
    with op.batch_alter_table("fact_embeddings", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_fact_embeddings_collection_id_version"), ["collection_id", "version"], unique=False
        )


def downgrade() -> None:
    op.drop_table("fact_embeddings")
