"""What users may import, and what an import brings with it."""

import importlib
import json
import subprocess
import sys

import pytest

from testproject.bootstrap import ROOT

PUBLIC = {
    "ratelimit_core": {
        *("Bucket", "Config", "Decision", "Identity", "Limiter", "Mode", "Quota"),
        *("RateLimited", "RequestInfo", "Verdict"),
        *("DecisionEvent", "Event", "SettleEvent", "Sink", "StoreEvent"),
    },
    "ratelimit_core.simulate": {"Arrival", "Replayed", "Suggestion", "curve", "replay", "smallest_burst", "suggest"},
    "ratelimit_core.stores": {"MemoryStore", "store_from_url"},
    "ratelimit_core.stores.redis": {"RedisStore"},
    "ratelimit_core.metrics": {"PrometheusSink", "exposition"},
    "ratelimit_core.logsink": {"LogSink"},
    "ratelimit_core.testing": {"ManualClock"},
    "django_ratelimit_gcra.decorators": {"exempt", "ratelimit"},
    "django_ratelimit_gcra.middleware": {"RateLimitMiddleware"},
    "django_ratelimit_gcra.throttling": {"BucketThrottle"},
    "asgi_ratelimit": {"RateLimitMiddleware", "Rule"},
    "asgi_ratelimit.fastapi": {"rate_limit"},
}
FOREIGN = ("redis", "django", "prometheus_client", "asgiref", "fastapi", "starlette", "rest_framework", "environ")


def brought_by(statement: str) -> set[str]:
    """The foreign packages that are loaded after the statement, in a process of its own."""
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, check=True, stdout=subprocess.PIPE).stdout
    return set(json.loads(out)) & set(FOREIGN)


@pytest.mark.parametrize("module", PUBLIC)
def test_a_public_name_can_be_imported(module: str) -> None:
    assert PUBLIC[module] <= set(dir(importlib.import_module(module)))


@pytest.mark.parametrize(
    "module", ["ratelimit_core", "ratelimit_core.simulate", "ratelimit_core.stores", "asgi_ratelimit"]
)
def test_public_means_listed(module: str) -> None:
    listed = importlib.import_module(module).__all__
    assert PUBLIC[module] <= set(listed)
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize(
    "statement",
    [
        "import ratelimit_core",
        "import ratelimit_core.simulate.__main__",
        "import ratelimit_core.stores",
        "import ratelimit_core.testing",
        "import ratelimit_core.logsink",
    ],
)
def test_the_core_brings_no_foreign_package(statement: str) -> None:
    assert brought_by(statement) == set()


def test_a_memory_store_needs_no_redis_client() -> None:
    assert brought_by("from ratelimit_core.stores import store_from_url; store_from_url('memory://')") == set()


def test_the_asgi_door_brings_asgiref_at_most() -> None:
    assert brought_by("import asgi_ratelimit") <= {"asgiref"}
