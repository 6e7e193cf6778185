"""What had a reason to be in the chats of a policy."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """No policy of chats has run before."""
    op.create_table(
        "chat_baseline",
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("policy", sa.String(length=253), nullable=False),
        sa.Column("files", sa.String(length=64), nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("first", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "policy", name=op.f("pk_chat_baseline")),
        comment="what had a reason in the chats of a policy when a plan was last applied (homeroom.store.StoredChats)",
    )
