"""In how many passages each phrase stands, kept with the phrase; it is counted for those that are there.

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("phrases", sa.Column("degree", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.execute(
        "UPDATE phrases SET degree = (SELECT count(*) FROM mentions WHERE mentions.phrase_id = phrases.id) "
        "WHERE EXISTS (SELECT 1 FROM mentions WHERE mentions.phrase_id = phrases.id)"
    )
    op.create_index("ix_phrases_collection_id_degree_key", "phrases", ["collection_id", "degree", "key"])


def downgrade() -> None:
    op.drop_index("ix_phrases_collection_id_degree_key", "phrases")
    op.drop_column("phrases", "degree")
