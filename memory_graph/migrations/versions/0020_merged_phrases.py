"""Which phrases a merge took away, so that whoever asks for one of them is led to what it became.

Revision ID: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("corrections", sa.Column("phrase_ids", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("corrections", "phrase_ids")
