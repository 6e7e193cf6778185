"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them; `leader` starts with its one row."""
    op.create_table(
        "accepted",
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("district", sa.String(length=253), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("accepted_at", sa.DateTime(), nullable=False),
        sa.Column("validator", sa.Text(), nullable=True),
        sa.Column("spec_digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "district", name=op.f("pk_accepted")),
        comment="the accepted snapshot of each district, and how to ask its source whether anything changed",
    )
    op.create_table(
        "baseline",
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("app", sa.String(length=253), nullable=False),
        sa.Column("files", sa.String(length=64), nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("sharing", sa.String(length=64), nullable=False),
        sa.Column("first", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "app", name=op.f("pk_baseline")),
        comment="what had a reason to be in the target when a plan was last applied (homeroom.roster.diff.Baseline)",
    )
    op.create_table(
        "batch",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=64), nullable=False),
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("app", sa.String(length=253), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.String(length=256), nullable=False),
        sa.Column("plan", sa.String(length=64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("intended_at", sa.DateTime(), nullable=False),
        sa.Column("concluded_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
        comment="the intent before a batch is written outside, and when its outcome was known (null: died between)",
    )
    op.create_index(op.f("ix_batch_namespace_app"), "batch", ["namespace", "app"], unique=False)
    op.create_table(
        "journal",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("batch", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("app", sa.String(length=253), nullable=False),
        sa.Column("op", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("school", sa.String(length=512), nullable=False),
        sa.Column("key", sa.String(length=512), nullable=False),
        sa.Column("class_key", sa.String(length=512), nullable=True),
        sa.Column("role", sa.String(length=16), nullable=True),
        sa.Column("cause", sa.String(length=32), nullable=False),
        sa.Column("result", sa.String(length=16), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal")),
        comment="every change that was tried, with its cause and what became of it",
    )
    op.create_index(op.f("ix_journal_batch"), "journal", ["batch"], unique=False)
    op.create_index(op.f("ix_journal_namespace_app_key"), "journal", ["namespace", "app", "key"], unique=False)
    op.create_table(
        "leader",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leader")),
        comment="one row: the highest epoch of the Lease that has written here; older ones may not write any more",
    )
    op.create_table(
        "ledger",
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("app", sa.String(length=253), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("school", sa.String(length=512), nullable=False),
        sa.Column("key", sa.String(length=512), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("username", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("namespace", "app", "kind", "school", "key", name=op.f("pk_ledger")),
        comment="what we made in the outside world; user names in it are reserved for ever",
    )
    op.create_table(
        "run",
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("namespace", sa.String(length=253), nullable=False),
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=False),
        sa.Column("next_at", sa.DateTime(), nullable=True),
        sa.Column("read_at", sa.DateTime(), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("schools", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "namespace", "name", name=op.f("pk_run")),
        comment="one row per root, overwritten by each run: the moving times that `homeroom status` shows",
    )
    op.execute("INSERT INTO leader (id, epoch) VALUES (1, 0)")
