"""What lists of documents are sorted by and looked through, and the passages that answers quote.

Revision ID: 0016
Revises: 0015
"""

import unicodedata
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_AT_ONCE = 5_000
_INDEXES = {
    f"ix_documents_collection_id_{column}_id": ["collection_id", column, "id"]
    for column in ("created_at", "names", "passages", "occurred_at")
}


def upgrade() -> None:
    names = sa.String(602).with_variant(sa.String(602, collation="C"), "postgresql")
    op.add_column("documents", sa.Column("names", names, nullable=False, server_default=sa.text("''")))
    op.add_column("documents", sa.Column("passages", sa.Integer(), nullable=False, server_default="0"))
    op.execute(
        "UPDATE documents SET passages = (SELECT count(*) FROM passages WHERE passages.document_id = documents.id)"
    )
    connection, after = op.get_bind(), 0
    read = sa.text("SELECT id, key, title, source FROM documents WHERE id > :after ORDER BY id LIMIT :most")
    write = sa.text("UPDATE documents SET names = :names WHERE id = :id")
    while rows := connection.execute(read, {"after": after, "most": _AT_ONCE}).all():
        connection.execute(write, [{"id": row.id, "names": _names(row)} for row in rows])
        after = rows[-1].id
    for name, columns in _INDEXES.items():
        op.create_index(name, "documents", columns)
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    fk_query, fk_passage = op.f("fk_citations_query_id"), op.f("fk_citations_passage_id")
    op.create_table(
        "citations",
        sa.Column("query_id", sa.String(length=36), nullable=False),
        sa.Column("passage_id", big, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name=fk_query, ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["passage_id"], ["passages.id"], name=fk_passage, ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("query_id", "passage_id", name=op.f("pk_citations")),
    )
    op.create_index("ix_citations_passage_id", "citations", ["passage_id"])


def downgrade() -> None:
    op.drop_table("citations")
    for name in _INDEXES:
        op.drop_index(name, table_name="documents")
    op.drop_column("documents", "passages")
    op.drop_column("documents", "names")


def _names(row: sa.Row[Any]) -> str:
    """Return what memory_graph.store.listing.names_of returned when this was written."""
    parts = [
        " ".join(unicodedata.normalize("NFKC", part).casefold().split())[:200]
        for part in (row.title, row.key, row.source or "")
    ]
    return "\n".join(dict.fromkeys(filter(None, parts)))
