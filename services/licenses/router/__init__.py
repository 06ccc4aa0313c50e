"""HTTP in and out of licenses."""

from services.licenses.router import checks, files, jobs, keys, operations, types, uses

# Most requested first: routes are matched in this order.
parts = (
    checks.router,
    files.router,
    types.router,
    keys.router,
    jobs.router,
    operations.router,
    uses.router,
)
"""Below `/api/v1/licenses`."""
