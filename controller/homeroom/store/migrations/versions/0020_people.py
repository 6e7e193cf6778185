"""Which policies see to the chats of a place: the pages show people theirs."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Runs of the platforms fill it."""
    names = ("namespace", "platform", "district", "policy")
    op.create_table(
        "link_policy",
        *(sa.Column(name, sa.String(length=253), nullable=False) for name in names),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint(*names, name=op.f("pk_link_policy")),
        comment="the policies whose chats are of a place, as runs of the platform told",
    )
