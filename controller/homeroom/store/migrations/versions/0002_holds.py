"""Changes that wait for an approval, and in the journal which approval let a change through."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table; old journal rows needed no approval."""
    op.create_table(
        "hold",
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("guard", sa.String(length=32), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("place", sa.String(length=512), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.Column("published", sa.DateTime(), nullable=False),
        sa.Column("rows", sa.LargeBinary(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("approval", sa.String(length=253), nullable=True),
        sa.Column("approved_at", sa.DateTime(), nullable=True),
        sa.Column("struck", sa.Integer(), nullable=False),
        sa.Column("successor", sa.String(length=16), nullable=True),
        sa.Column("context", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "kind", "name", "id", name=op.f("pk_hold")),
        comment="changes that a guard stopped (homeroom.plan.hold.Hold), as Parquet; used ones stay, so that none is "
        "used twice",
    )
    op.add_column("journal", sa.Column("hold", sa.String(length=16), nullable=True))
    op.create_index(op.f("ix_journal_namespace_app_at"), "journal", ["namespace", "app", "at"])
