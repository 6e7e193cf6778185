"""What the web service tells of licences, its links and sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0008"


def upgrade() -> None:
    """There was no web service before."""
    op.create_table(
        "licence",
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("licence", sa.String(length=253), nullable=False),
        sa.Column("pool_namespace", sa.String(length=253), nullable=False),
        sa.Column("pool", sa.String(length=253), nullable=False),
        sa.Column("district", sa.String(length=253), nullable=False),
        sa.Column("school", sa.String(length=512), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("granted", sa.Integer(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "licence", name=op.f("pk_licence")),
        comment="what the web service tells of a licence, as of the last run of its pool that changed something of it",
    )
    op.create_index(op.f("ix_licence_pool_namespace_pool"), "licence", ["pool_namespace", "pool"])
    op.create_table(
        "ticket",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("district", sa.String(length=253), nullable=False),
        sa.Column("teacher", sa.String(length=512), nullable=False),
        sa.Column("key", sa.String(length=64)),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_ticket")),
        comment="links mailed to teachers and their sessions, by SHA-256 of the random word in link or cookie",
    )
    op.create_index(op.f("ix_ticket_expires_at"), "ticket", ["expires_at"])
