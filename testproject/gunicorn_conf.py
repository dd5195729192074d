"""What gunicorn needs for the metrics of several workers, beside PROMETHEUS_MULTIPROC_DIR:

gunicorn testproject.wsgi --config python:testproject.gunicorn_conf --workers 4
"""

from __future__ import annotations

from typing import Any

from prometheus_client import multiprocess


def child_exit(server: Any, worker: Any) -> None:
    """A worker died: what it counted stays, what it was goes."""
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # prometheus_client's own
