"""Which account of a chat platform is whose, and what the pages need on which people say so."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_PLACE = ("namespace", "platform", "district")


def _place() -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(length=253), nullable=False) for name in _PLACE]


def upgrade() -> None:
    """Nobody was linked before."""
    op.create_table(
        "link",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        *_place(),
        sa.Column("person", sa.String(length=512), nullable=False),
        sa.Column("account", sa.String(length=255), nullable=False),
        sa.Column("how", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("news", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link")),
        comment="which account of a chat platform is whose (source id); `news`: no run has been told of it yet",
    )
    op.create_index("ix_link_pair", "link", [*_PLACE, "person", "account"], unique=True)
    linked = sa.text("state = 'Linked'")
    held = [*_PLACE, "account"]
    op.create_index("ix_link_holder", "link", held, unique=True, sqlite_where=linked, postgresql_where=linked)
    op.create_index(
        "ix_link_news",
        "link",
        ["namespace", "platform"],
        sqlite_where=sa.text("news = 1"),
        postgresql_where=sa.text("news"),
    )
    op.create_table(
        "link_code",
        sa.Column("digest", sa.String(length=64), nullable=False),
        *_place(),
        sa.Column("person", sa.String(length=512), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_link_code")),
        comment="personal codes in letters, one per person, by SHA-256; `state`: printed, or what became of the mail",
    )
    op.create_index("ix_link_code_person", "link_code", [*_PLACE, "person"], unique=True)
    op.create_table(
        "link_proof",
        sa.Column("digest", sa.String(length=64), nullable=False),
        *_place(),
        sa.Column("person", sa.String(length=512)),
        sa.Column("code", sa.String(length=64)),
        sa.Column("account", sa.String(length=255)),
        sa.Column("language", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("number", sa.String(length=64)),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_link_proof")),
        comment="visits to the pages on chats, by SHA-256 of the random word in the cookie: who has proven what so far",
    )
    op.create_index(op.f("ix_link_proof_expires_at"), "link_proof", ["expires_at"])
    op.create_index(op.f("ix_link_proof_state"), "link_proof", ["state"])
    op.create_table(
        "link_place",
        *_place(),
        sa.Column("server", sa.String(length=253), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(*_PLACE, name=op.f("pk_link_place")),
        comment="where people can link accounts, as runs of the platform told; `server`: what its accounts end with",
    )
