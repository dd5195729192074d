"""A real Prometheus for the tests, and promtool beside it: Debian's package `prometheus` brings both."""

import json
import shutil
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests import polling, processes

PACKAGE = "prometheus"
_NAMES = ("prometheus", "promtool")


def present() -> bool:
    """Whether both programs are on PATH."""
    return all(map(shutil.which, _NAMES))


def path_of(name: str) -> str:
    """The program, or a failure with the line that would bring it."""
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"missing: {name}; as root, run: apt-get install -y --no-install-recommends {PACKAGE}")
    return found


def promtool(*arguments: str, stdin: bytes = b"", cwd: Path | None = None) -> tuple[int, str]:
    """Its exit code, and all that it printed."""
    command = [path_of("promtool"), *arguments]
    done = subprocess.run(
        command, input=stdin, cwd=cwd, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
    )
    return done.returncode, done.stdout.decode()


class PrometheusServer:
    """
    A context manager: a server of the test's own on a free port, that scrapes `targets` (host:port) each second.

    The rules of `rules` are evaluated each second, too. Everything it writes is in `directory`.
    """

    def __init__(
        self, directory: Path, targets: Sequence[str] = (), rules: Sequence[Path] = (), token: str = ""
    ) -> None:
        self.port = processes.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / "prometheus.log"
        self._directory = directory
        job: dict[str, Any] = {
            "job_name": "shop",
            "metrics_path": "/metrics/",
            "static_configs": [{"targets": list(targets)}],
        }
        if token:
            job["authorization"] = {"credentials": token}
        self._settings = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": [job],
        }

    def __enter__(self) -> Self:
        settings = self._directory / "prometheus.yml"
        settings.write_text(json.dumps(self._settings))  # JSON is YAML
        command = [
            path_of("prometheus"),
            f"--config.file={settings}",
            f"--storage.tsdb.path={self._directory / 'data'}",
        ]
        command += [f"--web.listen-address=127.0.0.1:{self.port}", "--storage.tsdb.retention.time=1d"]
        self.process = processes.spawn(command, self.log)
        try:
            polling.until(self._is_ready, "Prometheus to be ready", seconds=60, every=0.1)
        except (TimeoutError, RuntimeError) as error:
            self.stop()
            raise RuntimeError(f"{error}\n{processes.tail(self.log)}") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        processes.end(self.process, signal.SIGTERM)

    def ask(self, path: str, **query: str) -> Any:
        """The `data` of an answer of its HTTP API; raises RuntimeError with what the server says is wrong."""
        try:
            with urllib.request.urlopen(
                f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=30
            ) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{query}: {error.read().decode()}") from error

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now, each with `metric` (its labels) and `value`."""
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def scrapes(self) -> dict[str, str]:
        """How the last scrape of each target went: nothing, or what was wrong; a target not yet scraped is left out."""
        targets = self.ask("targets")["activeTargets"]
        return {one["scrapeUrl"]: one["lastError"] for one in targets if one["health"] != "unknown"}

    def rules(self) -> list[dict[str, Any]]:
        """Every rule as Prometheus has understood it."""
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError("Prometheus ended")
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
