"""Remote lessons of classes, and their calls."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def _key(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(length=253), nullable=False) for name in names]


def upgrade() -> None:
    """There were none before."""
    op.create_table(
        "lesson",
        *_key("namespace", "district"),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("class", sa.String(length=512), nullable=False),
        sa.Column("begins", sa.DateTime(), nullable=False),
        sa.Column("ends", sa.DateTime(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("how", sa.String(length=16), nullable=False),
        sa.Column("feed", sa.String(length=512), nullable=False),
        sa.Column("person", sa.String(length=512)),
        sa.Column("noted_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "district", "id", name=op.f("pk_lesson")),
        comment="remote lessons of classes (Homeroom's ids); `how`, `feed`: who says so; `person`: who added it",
    )
    op.create_index(op.f("ix_lesson_namespace_district_class"), "lesson", ["namespace", "district", "class"])
    op.create_index(op.f("ix_lesson_ends"), "lesson", ["ends"])
    op.create_table(
        "call",
        *_key("namespace", "district"),
        sa.Column("lesson", sa.String(length=32), nullable=False),
        sa.Column("class", sa.String(length=512), nullable=False),
        sa.Column("pressed_at", sa.DateTime(), nullable=False),
        sa.Column("person", sa.String(length=512)),
        sa.Column("word", sa.String(length=64), nullable=False),
        sa.Column("until", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "district", "lesson", name=op.f("pk_call")),
        comment="the call of a lesson, once somebody (`person`) has started it; `word`: part of its address",
    )
    op.create_index(op.f("ix_call_namespace_until"), "call", ["namespace", "until"])
    op.create_table(
        "call_told",
        *_key("namespace", "district"),
        sa.Column("lesson", sa.String(length=32), nullable=False),
        *_key("platform"),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("chat", sa.Text()),
        sa.Column("url", sa.Text()),
        sa.Column("hold", sa.String(length=16)),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "district", "lesson", "platform", name=op.f("pk_call_told")),
        comment="how far a call is on a chat platform: `chat` and `url`, once those in the chat were told",
    )
