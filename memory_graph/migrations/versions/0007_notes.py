"""Notes that were taken while questions were answered, with the passages they rest on.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "notes",
        sa.Column("id", big, nullable=False),
        sa.Column("collection_id", big, nullable=False),
        sa.Column("query_id", sa.String(length=36), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name=op.f("fk_notes_collection_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notes")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("notes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_notes_collection_id_id"), ["collection_id", "id"])
    op.create_table(
        "note_passages",
        sa.Column("note_id", big, nullable=False),
        sa.Column("passage_id", big, nullable=False),
        sa.Column("collection_id", big, nullable=False),
        sa.ForeignKeyConstraint(["note_id"], ["notes.id"], name=op.f("fk_note_passages_note_id")),
        sa.ForeignKeyConstraint(["passage_id"], ["passages.id"], name=op.f("fk_note_passages_passage_id")),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name=op.f("fk_note_passages_collection_id")),
        sa.PrimaryKeyConstraint("note_id", "passage_id", name=op.f("pk_note_passages")),
    )
    with op.batch_alter_table("note_passages", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_note_passages_passage_id"), ["passage_id"])
        batch_op.create_index(batch_op.f("ix_note_passages_collection_id"), ["collection_id"])


def downgrade() -> None:
    op.drop_table("note_passages")
    op.drop_table("notes")
