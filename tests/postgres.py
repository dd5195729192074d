"""A real PostgreSQL server for the tests, of their own: an empty cluster on a free port, gone with them."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from tests import polling, processes
from tests.postgres_binaries import path_of

_NAME = "ratelimit"


class PostgresServer:
    """`with PostgresServer() as server: server.settings`; it refuses to run as root, so root runs it as `postgres`."""

    def __init__(self) -> None:
        self.port = processes.free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="ratelimit-postgres-"))
        self.log = self.directory / "postgres.log"
        self._user = "postgres" if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """As one of Django's DATABASES."""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": _NAME,
            "USER": _NAME,
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
        }

    @property
    def url(self) -> str:
        """As a URL, for TESTPROJECT_DB."""
        return f"postgres://{_NAME}@127.0.0.1:{self.port}/{_NAME}"

    def __enter__(self) -> Self:
        data = self.directory / "data"
        if self._user:
            shutil.chown(self.directory, self._user)
        command = [path_of("initdb"), "--no-sync", "--auth=trust", f"--username={_NAME}", "--encoding=UTF8"]
        command += ["--locale=C", f"--pgdata={data}"]
        subprocess.run(command, cwd=self.directory, user=self._user, check=True, capture_output=True)
        command = [path_of("postgres"), "-D", str(data), "-p", str(self.port), "-k", str(self.directory), "-F"]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"]
        self._process = processes.spawn(command, self.log, user=self._user)
        try:
            polling.until(self._answers, "a PostgreSQL server to answer")
            self._create()
        except BaseException:  # a server that is not used must not outlive its failure
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process is not None:
            processes.end(self._process, signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def stop(self) -> None:
        """At once, as in a crash: clients lose their connections, nobody listens any more."""
        if self._process is not None:
            processes.end(self._process, signal.SIGQUIT)

    def _connect(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=_NAME, dbname="postgres", autocommit=True, connect_timeout=5
        )

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"the PostgreSQL server ended: {processes.tail(self.log)}")
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _create(self) -> None:
        with self._connect() as connection:
            connection.execute(f"CREATE DATABASE {_NAME}")
