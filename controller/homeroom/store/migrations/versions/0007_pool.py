"""What pools granted, and who holds their seats."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """There were no pools before."""
    op.create_table(
        "pool",
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("grants", sa.LargeBinary(), nullable=False),
        sa.Column("seats", sa.LargeBinary(), nullable=False),
        sa.Column("records", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "name", name=op.f("pk_pool")),
        comment="what a pool granted to its licences, and who holds its seats (homeroom.store.Seating), as Parquet",
    )
