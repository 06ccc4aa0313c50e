"""Whether the process of this container is ready: the HEALTHCHECK of the image.

`HEALTH_PORT` names the port whose `/readyz` is asked. A container without it serves nothing (a
migration, an operator's command) and is well as long as it runs. Only the standard library, and
little of it: this runs every few seconds in every container.
"""

import os
import socket
import sys

SECONDS = 3.0


def is_ready(port: int) -> bool:
    """Whether `/readyz` on `port` of this host answers 200 within three seconds."""
    request = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
            connection.sendall(request)
            return connection.recv(64).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def main() -> int:
    port = os.environ.get("HEALTH_PORT", "")
    if not port:
        return 0
    return int(not is_ready(int(port)))


if __name__ == "__main__":
    sys.exit(main())
