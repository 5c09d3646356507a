"""Corrections of names and facts, what they were made of, and what people say of answers.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "corrections",
        sa.Column("id", big, nullable=False),
        sa.Column("collection_id", big, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("what", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("passages", sa.Integer(), nullable=False),
        sa.Column("undone_by", sa.Text(), nullable=True),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name=op.f("fk_corrections_collection_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_corrections")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_corrections_collection_id_state", "corrections", ["collection_id", "state"])
    op.create_table(
        "originals",
        sa.Column("passage_id", big, autoincrement=False, nullable=False),
        sa.Column("collection_id", big, nullable=False),
        sa.Column("found", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name=op.f("fk_originals_collection_id")),
        sa.ForeignKeyConstraint(["passage_id"], ["passages.id"], name=op.f("fk_originals_passage_id")),
        sa.PrimaryKeyConstraint("passage_id", name=op.f("pk_originals")),
    )
    op.create_index("ix_originals_collection_id_passage_id", "originals", ["collection_id", "passage_id"])
    op.add_column("queries", sa.Column("rating", sa.Integer(), nullable=True))
    op.add_column("queries", sa.Column("comment", sa.Text(), nullable=True))
    op.add_column("queries", sa.Column("correct_answer", sa.Text(), nullable=True))
    op.add_column("queries", sa.Column("rated_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for column in ("rated_at", "correct_answer", "comment", "rating"):
        op.drop_column("queries", column)
    op.drop_table("originals")
    op.drop_table("corrections")
