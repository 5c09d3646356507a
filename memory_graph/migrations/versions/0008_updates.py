"""Documents are updated by difference: passages know their twins and what read them, and changes are counted.

What read the passages that are there is not known: they are read again when their document changes.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    # Without batch mode, which would copy whole tables on SQLite: a column with a default is added in place.
    op.add_column("passages", sa.Column("twin", sa.Integer(), server_default="0", nullable=False))
    op.add_column("passages", sa.Column("made_by", sa.String(length=32), server_default=sa.text("''"), nullable=False))
    op.add_column("job_items", sa.Column("kept", sa.Integer(), server_default="0", nullable=False))
    op.add_column("job_items", sa.Column("removed", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "document_changes",
        sa.Column("id", big, nullable=False),
        sa.Column("collection_id", big, nullable=False),
        sa.Column("document_id", big, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("added", sa.Integer(), nullable=False),
        sa.Column("removed", sa.Integer(), nullable=False),
        sa.Column("kept", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name=op.f("fk_document_changes_collection_id")),
        sa.ForeignKeyConstraint(["document_id"], ["documents.id"], name=op.f("fk_document_changes_document_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document_changes")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_document_changes_document_id_id"), "document_changes", ["document_id", "id"])
    op.create_index(op.f("ix_document_changes_collection_id"), "document_changes", ["collection_id"])
    _number_twins()
    _begin_histories()


def _number_twins() -> None:
    """Number the equal passages of a document, in order; most have none."""
    passages = sa.table(
        "passages", *(sa.column(name) for name in ("id", "document_id", "text_hash", "ordinal", "twin"))
    )
    place = sa.func.row_number().over(
        partition_by=[passages.c.document_id, passages.c.text_hash], order_by=passages.c.ordinal
    )
    numbered = sa.select(passages.c.id, (place - 1).label("twin")).subquery()
    connection = op.get_bind()
    twins = connection.execute(sa.select(numbered.c.id, numbered.c.twin).where(numbered.c.twin > 0)).all()
    if twins:
        connection.execute(
            sa.update(passages).where(passages.c.id == sa.bindparam("_id")).values(twin=sa.bindparam("_twin")),
            [{"_id": row.id, "_twin": row.twin} for row in twins],
        )


def _begin_histories() -> None:
    op.execute(
        "INSERT INTO document_changes (collection_id, document_id, version, job_id, at, added, removed, kept) "
        "SELECT d.collection_id, d.id, d.version, d.job_id, d.created_at, "
        "(SELECT count(*) FROM passages AS p WHERE p.document_id = d.id), 0, 0 FROM documents AS d ORDER BY d.id"
    )


def downgrade() -> None:
    op.drop_table("document_changes")
    for table, names in (("job_items", ("kept", "removed")), ("passages", ("twin", "made_by"))):
        for name in names:
            op.drop_column(table, name)
