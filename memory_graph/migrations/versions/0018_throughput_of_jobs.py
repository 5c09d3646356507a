"""How fast jobs went, and which documents a job learned.

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_samples",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("slot", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("passages", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_samples_job_id")),
        sa.PrimaryKeyConstraint("job_id", "slot", name=op.f("pk_job_samples")),
    )
    op.create_index("ix_documents_job_id_id", "documents", ["job_id", "id"])


def downgrade() -> None:
    op.drop_index("ix_documents_job_id_id", table_name="documents")
    op.drop_table("job_samples")
