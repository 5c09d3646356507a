"""How many bytes a key may submit for learning in a day, and which key submitted a job.

Revision ID: 0019
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("keys", sa.Column("bytes_per_day", sa.BigInteger(), nullable=True))
    op.add_column("key_spending", sa.Column("bytes", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("key_id", sa.String(length=32), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "key_id")
    op.drop_column("key_spending", "bytes")
    op.drop_column("keys", "bytes_per_day")
