"""Samples are told apart by where on the charger they were measured, and pieces of signed data by their
number; a second value for one is kept beside the first; a pairing code may stand for a box that takes another
one's place.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("pairing", sa.Column("replaces", sa.Text(), server_default="", nullable=False))
    # SQLite cannot change a primary key: the table is made anew and filled from the old one.
    with op.batch_alter_table("meter") as meter:
        meter.add_column(sa.Column("location", sa.Text(), server_default="outlet", nullable=False))
        meter.add_column(sa.Column("part", sa.Text(), server_default="", nullable=False))
        meter.drop_constraint(op.f("pk_meter"), type_="primary")
        meter.create_primary_key(op.f("pk_meter"), ["site", "session", "at", "context", "location", "part"])
    op.create_table(
        "meter_conflict",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("context", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("fact", sa.Text(), nullable=False),
        sa.Column("sample", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["site.id"], name=op.f("fk_meter_conflict_site")),
        sa.PrimaryKeyConstraint(
            *("site", "session", "at", "context", "location", "part", "fact"),
            name=op.f("pk_meter_conflict"),
        ),
    )
