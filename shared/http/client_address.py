"""The network address that a request comes from, for limits."""

from fastapi import Request


def client_address(request: Request, *, trust_gateway: bool) -> str:
    """The address of the client, at most 64 characters.

    Behind a trusted gateway it is the last entry of `X-Forwarded-For`, which the gateway sets
    itself; else the address of the connection.
    """
    forwarded = request.headers.get("x-forwarded-for", "")
    if trust_gateway and forwarded:
        return forwarded.rpartition(",")[2].strip()[:64]
    return request.client.host if request.client else "unknown"
