"""What is served while part of a snapshot is held, and what the source door let pass."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Nothing is held yet: every district serves what it has accepted."""
    op.add_column("accepted", sa.Column("served", sa.String(length=64), nullable=True))
    op.create_table(
        "door",
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("district", sa.String(length=253), nullable=False),
        sa.Column("recent", sa.LargeBinary(), nullable=False),
        sa.Column("released", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "district", name=op.f("pk_door")),
        comment="what the source door of a district let pass (homeroom.store.Passed), as Parquet",
    )
