"""Keys of licences, who is connected by them, and whom they were mailed to."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """There were no keys before."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "licence_key",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("licence", sa.String(length=253), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.Column("revoked_at", sa.DateTime()),
        sa.Column("found", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_licence_key")),
        comment="SHA-256 of every key that a licence ever had, so that none is used twice; the key itself is in a "
        "Secret",
    )
    op.create_index(op.f("ix_licence_key_namespace_licence"), "licence_key", ["namespace", "licence"])
    op.create_table(
        "connection",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("licence", sa.String(length=253), nullable=False),
        sa.Column("district", sa.String(length=253), nullable=False),
        sa.Column("teacher", sa.String(length=512), nullable=False),
        sa.Column("connected_at", sa.DateTime(), nullable=False),
        sa.Column("how", sa.String(length=16), nullable=False),
        sa.Column("ended_at", sa.DateTime()),
        sa.Column("ended", sa.String(length=16)),
        sa.Column("ended_by", sa.String(length=512)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connection")),
        comment="teachers (source ids of a district of the namespace) connected to a licence; `ended`: why no more",
    )
    op.create_index(op.f("ix_connection_namespace_licence"), "connection", ["namespace", "licence"])
    op.create_index(
        op.f("ix_connection_namespace_district_teacher"), "connection", ["namespace", "district", "teacher"]
    )
    op.create_table(
        "delivery",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("licence", sa.String(length=253), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("how", sa.String(length=16), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        comment="mails with a licence's key (`digest`); `address`: keyed SHA-256 of whom to, readable by nobody",
    )
    op.create_index(
        op.f("ix_delivery_namespace_licence_digest_address"),
        "delivery",
        ["namespace", "licence", "digest", "address"],
    )
