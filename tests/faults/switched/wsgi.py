"""For gunicorn."""

import os
from collections.abc import Callable, Iterable
from typing import Any

from testproject.wsgi import application as site


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Add the process to every response."""

    def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        return start_response(status, [*headers, ("X-Process", str(os.getpid()))], *rest)

    return site(environ, start)
