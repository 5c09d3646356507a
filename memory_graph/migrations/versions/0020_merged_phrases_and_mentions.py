"""Which phrases a merge took away; the strongest mentions of a phrase are found in the index alone.

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
    op.drop_index("ix_mentions_phrase_id_passage_id", table_name="mentions")
    op.create_index("ix_mentions_phrase_id_passage_id_count", "mentions", ["phrase_id", "passage_id", "count"])


def downgrade() -> None:
    op.drop_index("ix_mentions_phrase_id_passage_id_count", table_name="mentions")
    op.create_index("ix_mentions_phrase_id_passage_id", "mentions", ["phrase_id", "passage_id"])
    op.drop_column("corrections", "phrase_ids")
