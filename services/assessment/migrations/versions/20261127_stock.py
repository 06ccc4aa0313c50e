"""Totals of the stocks, so that the figure of a day is not a sum over all days before it."""

import sqlalchemy as sa
from alembic import op

revision = "assessment_0004"
down_revision = "assessment_0003"


def upgrade() -> None:
    op.create_table(
        "stock_total",
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("area_code", "department_code", "measure")
        ),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("area_code", "department_code", "measure", name="pk_stock_total"),
    )
    op.execute(
        "INSERT INTO stock_total SELECT area_code, department_code, measure, sum(value)"
        " FROM day_count"
        " WHERE measure = 'matters_published' GROUP BY 1, 2, 3"
    )


def downgrade() -> None:
    op.drop_table("stock_total")
