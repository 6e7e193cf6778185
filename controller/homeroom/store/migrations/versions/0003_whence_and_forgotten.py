"""Of which commit the resources of an app are, and what stays of people who were forgotten."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make them, empty: the next run of each app writes the first, the rest waits for `homeroom forget-person`."""
    op.create_table(
        "origin",
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("app", sa.String(length=253), nullable=False),
        sa.Column("resources", sa.Text(), nullable=False),
        sa.Column("revision", sa.String(length=256), nullable=False),
        sa.Column("seen_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "app", name=op.f("pk_origin")),
        comment="the resources that an app consists of, and the Git revision they had when first seen as they are",
    )
    op.create_table(
        "withdrawn",
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("app", sa.String(length=253), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "app", "hash", name=op.f("pk_withdrawn")),
        comment="user names of people who were forgotten, as keyed hashes: reserved for ever, too",
    )
    op.create_table(
        "erasure",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("district", sa.String(length=253), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("accounts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure")),
        comment="that somebody was forgotten, when and why; not who",
    )
    op.create_table(
        "secret",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_secret")),
        comment="random keys of this store, each made when it is first needed",
    )
