"""What a language model replied about a text is kept, so that nothing is paid for twice; jobs count tokens.

Revision ID: 0006
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "replies",
        sa.Column("collection_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("prompt_hash", sa.String(length=32), nullable=False),
        sa.Column("text_hash", sa.String(length=32), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name=op.f("fk_replies_collection_id")),
        sa.PrimaryKeyConstraint("collection_id", "prompt_hash", name=op.f("pk_replies")),
    )
    with op.batch_alter_table("replies", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_replies_collection_id_text_hash"), ["collection_id", "text_hash"])
        batch_op.create_index(batch_op.f("ix_replies_collection_id_document"), ["collection_id", "document"])
        batch_op.create_index(batch_op.f("ix_replies_job_id"), ["job_id"])
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("max_tokens", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("tokens", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_column("tokens")
        batch_op.drop_column("max_tokens")
    op.drop_table("replies")
