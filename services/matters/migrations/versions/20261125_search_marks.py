"""One index for words, filters and the order of the hits.

Marks stand beside the words of `matter.search`.
"""

from alembic import op

revision = "matters_0003"
down_revision = "matters_0002"

MARKS = """
    UPDATE matter SET search = search || array_to_tsvector(
        ARRAY['^' || left(haystack, 2), '@area=' || area_code,
              '@department=' || department_code, '@type=' || type, '@level=' || level,
              '@size=' || width_bucket(length(split_part(haystack, chr(10), 1)),
                                       ARRAY[5, 7, 9, 12, 17])]
        || ARRAY(SELECT DISTINCT '=' || line
                 FROM unnest(string_to_array(haystack, chr(10))) AS line)
        || ARRAY(SELECT DISTINCT '@object=' || value FROM unnest(object_types) AS value)
        || ARRAY(SELECT DISTINCT '@topic=' || value FROM unnest(topics) AS value)
        || CASE WHEN visits <= 1 THEN ARRAY['@max_visits=1'] ELSE ARRAY[]::text[] END)
    WHERE published_version IS NOT NULL
"""


def upgrade() -> None:
    op.execute(MARKS)
    # Without statistics the planner takes the index for every word. With them it reads the whole
    # table for a common one, in the hope of meeting enough hits early, and does so too when a
    # filter leaves hardly any. (The change of type to the same type throws away those that are
    # there.)
    op.execute("ALTER TABLE matter ALTER COLUMN search TYPE tsvector")
    op.execute("ALTER TABLE matter ALTER COLUMN search SET STATISTICS 0")
    op.drop_index("ix_matter_name", "matter")


def downgrade() -> None:
    op.create_index(
        "ix_matter_name", "matter", ["name"], postgresql_ops={"name": "text_pattern_ops"}
    )
    op.execute("ALTER TABLE matter ALTER COLUMN search SET STATISTICS -1")
