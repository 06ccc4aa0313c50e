"""HTTP in and out of matters."""

from services.matters.router import bundles, catalogue, supervision

parts = (catalogue.router, bundles.router, supervision.router)
"""Below `/api/v1/matters`; what is asked most stands first."""
