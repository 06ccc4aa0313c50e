"""HTTP in and out of licences."""

from services.licenses.router import acts, checks, files, jobs, keys, types, uses

parts = (
    checks.router,
    files.router,
    types.router,
    keys.router,
    jobs.router,
    acts.router,
    uses.router,
)
"""Below `/api/v1/licenses`; what is asked most stands first."""
