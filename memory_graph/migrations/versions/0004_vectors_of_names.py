"""Facts and phrases can have vectors; those that were learned before have none until they are learned again.

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
    for table, kind, kinds in (("fact_embeddings", "fact", "facts"), ("phrase_embeddings", "phrase", "phrases")):
        op.create_table(
            table,
            sa.Column(f"{kind}_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
            sa.Column("collection_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
            sa.Column("vector", sa.LargeBinary(), nullable=False),
            sa.Column("version", sa.BigInteger(), nullable=False),
            sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name=op.f(f"fk_{table}_collection_id")),
            sa.ForeignKeyConstraint([f"{kind}_id"], [f"{kinds}.id"], name=op.f(f"fk_{table}_{kind}_id")),
            sa.PrimaryKeyConstraint(f"{kind}_id", name=op.f(f"pk_{table}")),
        )
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.create_index(
                batch_op.f(f"ix_{table}_collection_id_version"), ["collection_id", "version"], unique=False
            )


def downgrade() -> None:
    op.drop_table("phrase_embeddings")
    op.drop_table("fact_embeddings")
