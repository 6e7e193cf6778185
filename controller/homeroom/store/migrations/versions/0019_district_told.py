"""What the pages on lessons have to know of a District: its time zone, and who is denied."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """The next look of the operator fills it."""
    op.create_table(
        "district_told",
        *(sa.Column(name, sa.String(length=253), nullable=False) for name in ("namespace", "platform", "district")),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("denied", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "platform", "district", name=op.f("pk_district_told")),
        comment="what pages have to know of a District, as runs of the platform told; `denied`: source ids as JSON",
    )
