"""The API gateway: one ASGI forwarder in front, everything else FastAPI.

It has no database and imports no service.
"""
