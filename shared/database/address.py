"""Addresses of databases: the same URL means the same for the pool, the relay and migrations.

`postgresql://…?sslmode=verify-full&sslrootcert=/etc/tongban/ca.pem` asks for TLS. SQLAlchemy gives
what follows the question mark to the driver as arguments that it does not know, so the driver reads
the URL itself.
"""

from sqlalchemy.engine import URL, make_url


def engine_url(url: str) -> URL:
    """The URL for SQLAlchemy: with our driver, without what only the driver reads."""
    return make_url(url).set(drivername="postgresql+asyncpg", query={})


def driver_arguments(url: str) -> dict[str, str]:
    """What SQLAlchemy passes on to the driver: the URL, where it says more than the address."""
    if not make_url(url).query:
        return {}
    return {"dsn": url}


def other_database(url: str, name: str) -> str:
    """The same server and role, but another database."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)
