"""Numbered lists of withdrawn rights; caps, owners, labels; operators that wait for the owner."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

#: As long as a withdrawn right has to be named: `common.trust.revocations.KEPT_MS` when this was written.
_KEPT_MS = 15 * 24 * 3_600_000


def upgrade() -> None:
    op.create_table(
        "withdrawn",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site", "entry", name=op.f("pk_withdrawn")),
    )
    kept = sa.text(
        "INSERT INTO withdrawn (site, entry, at_ms, until_ms)"
        " SELECT '', entry, at_ms, at_ms + :kept FROM revocation"
    )
    op.execute(kept.bindparams(kept=_KEPT_MS))
    op.drop_table("revocation")
    op.create_table(
        "withdrawal",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("list", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["site.id"], name=op.f("fk_withdrawal_site")),
        sa.PrimaryKeyConstraint("site", "issuer", name=op.f("pk_withdrawal")),
    )
    for table in ("invite", "device"):
        op.add_column(table, sa.Column("caps", sa.Text(), nullable=True))
        op.add_column(table, sa.Column("owner", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("device", sa.Column("pending", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("device", sa.Column("label", sa.Text(), server_default="", nullable=False))
