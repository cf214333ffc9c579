"""Where the records of an earlier epoch went when a later one told them again. Only adds.

What moved before this was not written down: a run of no places to nowhere says so of each epoch that is over.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "moved",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("to_epoch", sa.Text(), nullable=False),
        sa.Column("to_seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["site.id"], name=op.f("fk_moved_site")),
        sa.PrimaryKeyConstraint("site", "epoch", "seq", name=op.f("pk_moved")),
    )
    op.execute(
        "INSERT INTO moved (site, epoch, seq, count, to_epoch, to_seq)"
        " SELECT sync_state.site, sync_state.epoch, 0, 0, '', 0 FROM sync_state"
        " JOIN site ON site.id = sync_state.site WHERE sync_state.epoch <> site.epoch"
    )
