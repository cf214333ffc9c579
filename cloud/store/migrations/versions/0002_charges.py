"""Charge lines and closed months, signed heads of chains, a site's time zone. Only adds."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("site", sa.Column("zone", sa.Text(), server_default="UTC", nullable=False))
    _head()
    _charge_line()
    op.create_table(
        "closing",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("closed_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["site.id"], name=op.f("fk_closing_site")),
        sa.PrimaryKeyConstraint("site", "month", name=op.f("pk_closing")),
    )


def _head() -> None:
    op.create_table(
        "head",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("kept", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["site.id"], name=op.f("fk_head_site")),
        sa.PrimaryKeyConstraint("site", "epoch", "seq", name=op.f("pk_head")),
    )


def _charge_line() -> None:
    op.create_table(
        "charge_line",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("corrects", sa.Text(), nullable=True),
        sa.Column("charger", sa.Text(), nullable=False),
        sa.Column("evse", sa.Integer(), nullable=False),
        sa.Column("connector", sa.Integer(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=True),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("energy_milliwh", sa.BigInteger(), nullable=False),
        sa.Column("total_milliwh", sa.BigInteger(), nullable=False),
        sa.Column("obtained", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["site.id"], name=op.f("fk_charge_line_site")),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_charge_line")),
        sa.UniqueConstraint("site", "session", "revision", name="uq_charge_line_site_session_revision"),
    )
    op.create_index(
        "ix_charge_line_month", "charge_line", ["site", "month", "at_ms", "session", "revision"], unique=False
    )
