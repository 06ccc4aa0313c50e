"""The network address a request comes from, for budgets."""

from fastapi import Request


def client_address(request: Request, *, trust_gateway: bool) -> str:
    """The last X-Forwarded-For entry, which the gateway sets itself, where it is trusted; else the peer's address."""
    forwarded = request.headers.get("x-forwarded-for", "")
    if trust_gateway and forwarded:
        return forwarded.rpartition(",")[2].strip()[:64]
    return request.client.host if request.client else "unknown"
