"""Documents are compared with those that are there: signatures, their bands, and which are alike.

Documents that were learned before have no signature: they are compared once they are learned anew.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "signatures",
        sa.Column("id", big, nullable=False),
        sa.Column("collection_id", big, nullable=False),
        sa.Column("text_hash", sa.String(length=32), nullable=False),
        sa.Column("minhash", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name=op.f("fk_signatures_collection_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signatures")),
        sa.UniqueConstraint("collection_id", "text_hash", name=op.f("uq_signatures_collection_id_text_hash")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "signature_bands",
        sa.Column("collection_id", big, nullable=False),
        sa.Column("band", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("signature_id", big, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name=op.f("fk_signature_bands_collection_id")),
        sa.PrimaryKeyConstraint("collection_id", "band", "signature_id", name=op.f("pk_signature_bands")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "near_copies",
        sa.Column("one_id", big, nullable=False),
        sa.Column("other_id", big, nullable=False),
        sa.Column("collection_id", big, nullable=False),
        sa.Column("similarity", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["one_id"], ["signatures.id"], name=op.f("fk_near_copies_one_id")),
        sa.ForeignKeyConstraint(["other_id"], ["signatures.id"], name=op.f("fk_near_copies_other_id")),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name=op.f("fk_near_copies_collection_id")),
        sa.PrimaryKeyConstraint("one_id", "other_id", name=op.f("pk_near_copies")),
    )
    with op.batch_alter_table("near_copies", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_near_copies_other_id"), ["other_id"])
        batch_op.create_index(batch_op.f("ix_near_copies_collection_id"), ["collection_id"])
    # Not in batch mode, which would copy a table that others refer to; SQLite takes the reference with the column.
    op.execute(
        sa.text("ALTER TABLE documents ADD COLUMN signature_id INTEGER REFERENCES signatures (id)")
        if op.get_bind().dialect.name == "sqlite"
        else sa.text(
            "ALTER TABLE documents ADD COLUMN signature_id BIGINT "
            "CONSTRAINT fk_documents_signature_id REFERENCES signatures (id)"
        )
    )
    op.create_index(op.f("ix_documents_signature_id"), "documents", ["signature_id"])
    op.add_column("jobs", sa.Column("duplicates", sa.String(length=8), server_default="link", nullable=False))
    for name in ("exact", "near"):
        op.add_column("job_items", sa.Column(name, sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("job_items", "near")
    op.drop_column("job_items", "exact")
    op.drop_column("jobs", "duplicates")
    op.drop_index(op.f("ix_documents_signature_id"), "documents")
    op.execute("ALTER TABLE documents DROP COLUMN signature_id")
    op.drop_table("near_copies")
    op.drop_table("signature_bands")
    op.drop_table("signatures")
