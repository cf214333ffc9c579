"""What boxes have sealed for those that will replace them, and the word that one was replaced. Only adds."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("site", sa.Column("succession", sa.Text(), server_default="", nullable=False))
    op.create_table(
        "sealed",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("to", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("kept_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["site.id"], name=op.f("fk_sealed_site")),
        sa.PrimaryKeyConstraint("site", "to", name=op.f("pk_sealed")),
    )
