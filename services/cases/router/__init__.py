"""HTTP in and out of cases."""

from services.cases.router import acts, bundles, calendar, files, licenses, lights

parts = (files.router, bundles.router, acts.router, lights.router, licenses.router, calendar.router)
"""Below `/api/v1/cases`; what is asked most stands first."""
