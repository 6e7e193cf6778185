"""By which `spec.removal` an app was planned last."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Empty: not known, so the next run takes nothing for an edit."""
    op.add_column("baseline", sa.Column("removal", sa.Text(), nullable=False, server_default=""))
