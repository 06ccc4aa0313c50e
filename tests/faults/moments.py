"""Earlier moments of one database, and the way back to them, while others work on the server."""

import asyncio
import itertools

import asyncpg

from deploy.postgres import EmbeddedPostgres

END = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE datname = $1 AND pid <> pg_backend_pid()"
)
_numbers = itertools.count(1)


class Moments:
    """Copies of the database `name`. Its connections are ended for each of them and come again."""

    def __init__(self, postgres: EmbeddedPostgres, name: str) -> None:
        self.name = name
        self.copies: list[str] = []
        self._postgres = postgres

    def take(self) -> str:
        """Copy the database as it is now; the name of the copy."""
        copy = self._new_name()
        self._run(self.name, f"CREATE DATABASE {copy} TEMPLATE {self.name} STRATEGY file_copy")
        self.copies.append(copy)
        return copy

    def copy_first(self, name: str) -> None:
        """Another database as this one was at the first moment that was taken."""
        asyncio.run(
            self._execute([f"CREATE DATABASE {name} TEMPLATE {self.copies[0]} STRATEGY file_copy"])
        )

    def restore(self, copy: str) -> None:
        """The database as it was at an earlier moment; the copy can be used again."""
        self.drop(self.swap(copy))

    def swap(self, copy: str) -> str:
        """Like `restore`, and keep the database that was there; its name."""
        kept = self._new_name()
        self._run(
            self.name,
            f"ALTER DATABASE {self.name} RENAME TO {kept}",
            f"CREATE DATABASE {self.name} TEMPLATE {copy} STRATEGY file_copy",
        )
        return kept

    def put_back(self, kept: str) -> None:
        """The database that `swap` kept, as it was then."""
        gone = self._new_name()
        self._run(
            self.name,
            f"ALTER DATABASE {self.name} RENAME TO {gone}",
            f"ALTER DATABASE {kept} RENAME TO {self.name}",
            f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS true",
        )
        self.drop(gone)

    def drop_copies(self) -> None:
        while self.copies:
            self.drop(self.copies.pop())

    def drop(self, name: str) -> None:
        asyncio.run(self._execute([f"DROP DATABASE {name} WITH (FORCE)"]))

    def _new_name(self) -> str:
        return f"{self.name}_{next(_numbers)}"

    def _run(self, quiet: str, *statements: str) -> None:
        """Run the statements while nobody is connected to the database `quiet`."""
        asyncio.run(self._execute(statements, quiet=quiet))

    async def _execute(self, statements: list[str] | tuple[str, ...], quiet: str = "") -> None:
        connection = await asyncpg.connect(self._postgres.dsn("postgres"))
        try:
            if quiet:
                _ = await connection.execute(f"ALTER DATABASE {quiet} ALLOW_CONNECTIONS false")
                while await connection.fetchval(END, quiet):
                    await asyncio.sleep(0.01)
            for statement in statements:
                _ = await connection.execute(statement)
            if quiet and statements[0].startswith("CREATE"):
                _ = await connection.execute(f"ALTER DATABASE {quiet} ALLOW_CONNECTIONS true")
        finally:
            await connection.close()
