"""Which teachers a pool's licences connect, and which licences were revoked lately."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """No teacher was kept out for want of a licence before: null says that nobody knows yet who would be."""
    op.add_column("pool", sa.Column("teachers", sa.LargeBinary()))
    op.add_column("pool", sa.Column("revoked", sa.LargeBinary()))
