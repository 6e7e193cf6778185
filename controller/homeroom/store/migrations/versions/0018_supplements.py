"""What stands beside the source of a district, and when it was read."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0016"


def upgrade() -> None:
    """Until now a district had its source alone."""
    op.create_table(
        "supplement",
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("district", sa.String(length=253), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("spec_digest", sa.String(length=64), nullable=False),
        sa.Column("validator", sa.Text()),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("accepted_at", sa.DateTime(), nullable=False),
        sa.Column("rows", sa.LargeBinary(), nullable=False),
        sa.Column("findings", sa.LargeBinary(), nullable=False),
        sa.Column("last", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "district", "name", name=op.f("pk_supplement")),
        comment="supplements of a district (homeroom.store.StoredSupplement): what counts of each, as Parquet",
    )
    op.add_column("accepted", sa.Column("source", sa.String(length=64)))
    op.add_column("run", sa.Column("supplements", sa.Text(), nullable=False, server_default="{}"))
