"""How a site's box came to its key, and what keys the site gave up. Only adds."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("rotations", "former", "retired"):
        op.add_column("site", sa.Column(name, sa.Text(), server_default="", nullable=False))
    op.add_column("site", sa.Column("former_until_ms", sa.BigInteger(), server_default="0", nullable=False))
