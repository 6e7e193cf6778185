"""Which class each section is in each school year."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Nothing is pinned yet: the next reading pins what is served, and nothing changes its id."""
    op.create_table(
        "section",
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("district", sa.String(length=253), nullable=False),
        sa.Column("pins", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "district", name=op.f("pk_section")),
        comment="which class each section of a district is in each school year (homeroom.roster.years.PINS), "
        "as Parquet",
    )
