"""The API gateway: one ASGI forwarder in front, everything else FastAPI. No database, no import of services."""
