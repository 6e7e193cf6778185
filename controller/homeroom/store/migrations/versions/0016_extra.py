"""Links to extra chats, and who came by them."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_CHAT = ("namespace", "platform", "district", "chat")


def _chat() -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(length=253), nullable=False) for name in _CHAT]


def upgrade() -> None:
    """There was no extra chat before."""
    op.create_table(
        "chat_link",
        *_chat(),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("edition", sa.Integer(), nullable=False),
        sa.Column("word", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint(*_CHAT, name=op.f("pk_chat_link")),
        comment="links by which people come into extra chats; `word`: what stands in it, `edition`: which one it is",
    )
    op.create_index("ix_chat_link_word", "chat_link", ["word"], unique=True)
    op.create_table(
        "chat_join",
        *_chat(),
        sa.Column("person", sa.String(length=512), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("news", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint(*_CHAT, "person", name=op.f("pk_chat_join")),
        comment="who came into an extra chat by its link (source id); `news`: no run has been told of it yet",
    )
    op.create_index(
        "ix_chat_join_news",
        "chat_join",
        ["namespace", "platform"],
        sqlite_where=sa.text("news = 1"),
        postgresql_where=sa.text("news"),
    )
