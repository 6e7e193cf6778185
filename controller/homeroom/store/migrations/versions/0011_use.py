"""Who uses the seats of pools: last days of use, idle seats, and the use of each day."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Nothing was known of use before."""
    op.create_table(
        "activity",
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("app", sa.String(length=253), nullable=False),
        sa.Column("logins", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "app", name=op.f("pk_activity")),
        comment="the days on which people last used an app (homeroom.seats.usage.LOGINS_SCHEMA), as Parquet",
    )
    op.create_table(
        "pool_day",
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("pool", sa.String(length=253), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("granted", sa.Integer(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("demand", sa.Integer(), nullable=False),
        sa.Column("active", sa.Integer()),
        sa.Column("licences", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "pool", "day", name=op.f("pk_pool_day")),
        comment="how a pool was used on each day (homeroom.store.use); `licences`: the same of each, as Parquet",
    )
    op.add_column("pool", sa.Column("noticed", sa.LargeBinary()))
    op.add_column("pool", sa.Column("reclaimed", sa.LargeBinary()))
    op.add_column("run", sa.Column("told_at", sa.DateTime()))
