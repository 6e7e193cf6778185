"""Which policies see to the chats of a place, for the pages that show people theirs; and accounts made on the way."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Runs of the platforms fill it."""
    op.add_column("link_code", sa.Column("accounts", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("link_place", sa.Column("register", sa.Text()))
    op.create_table(
        "link_token",
        sa.Column("visit", sa.String(length=64), nullable=False),
        *(sa.Column(name, sa.String(length=253), nullable=False) for name in ("namespace", "platform", "district")),
        sa.Column("person", sa.String(length=512), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("token", sa.String(length=64)),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("visit", name=op.f("pk_link_token")),
        comment="what lets a visitor make one account, while the visit (SHA-256) lasts; it opens nothing of anybody",
    )
    names = ("namespace", "platform", "district", "policy")
    op.create_table(
        "link_policy",
        *(sa.Column(name, sa.String(length=253), nullable=False) for name in names),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint(*names, name=op.f("pk_link_policy")),
        comment="the policies whose chats are of a place, as runs of the platform told",
    )
