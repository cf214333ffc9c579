"""What the lines of a month were when it was closed. Only adds; months closed before this have no seal."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("closing", sa.Column("seal", sa.Text(), nullable=False, server_default=""))
