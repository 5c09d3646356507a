"""Jobs are learned in shares, by several workers, in the order of their priorities; failed items can be retried.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "job_shares",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=128), nullable=True),
        sa.Column("passages", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_shares_job_id")),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_job_shares")),
    )
    # Plain ALTER TABLE … ADD COLUMN: a table that other tables refer to is not made anew.
    op.add_column("documents", sa.Column("item_id", big, nullable=True))
    op.add_column("jobs", sa.Column("priority", sa.Integer(), server_default=sa.text("5"), nullable=False))
    op.add_column("job_items", sa.Column("share", sa.Integer(), nullable=True))
    op.add_column("job_items", sa.Column("item_id", big, nullable=True))
    op.add_column("job_items", sa.Column("held", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.drop_index("ix_job_items_job_id_state", table_name="job_items")
    op.create_index("ix_job_items_job_id_state_id", "job_items", ["job_id", "state", "id"])
    op.create_index(
        "ix_job_items_held", "job_items", ["held"], sqlite_where=sa.text("held"), postgresql_where=sa.text("held")
    )


def downgrade() -> None:
    op.drop_index("ix_job_items_held", table_name="job_items")
    op.drop_index("ix_job_items_job_id_state_id", table_name="job_items")
    op.create_index("ix_job_items_job_id_state", "job_items", ["job_id", "state"])
    for table, column in (
        ("job_items", "held"),
        ("job_items", "item_id"),
        ("job_items", "share"),
        ("jobs", "priority"),
        ("documents", "item_id"),
    ):
        op.drop_column(table, column)
    op.drop_table("job_shares")
