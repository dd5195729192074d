"""A decision in memory: ours and those of our peers, each beside a dict in its own process, round by round."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from testproject.bootstrap import ROOT, Environment
from tests.benchmarks.measure import DICT, Line, Round, summary
from tests.benchmarks.peers.contenders import CONTENDERS
from tests.locks import PEERS

KEYS = {"hot key": 1, "100,000 keys": 100_000}
CALLS = 20_000
ENVIRONMENT = Environment(ROOT, ".venv-peers")

Worker = subprocess.Popen[str]


def run(rounds: int) -> list[Line]:
    """Every line; makes the peers' environment first, where it is missing."""
    ENVIRONMENT.ready(PEERS)
    return [
        line
        for name, keys in KEYS.items()
        for kind in ("allowed", "refused")
        for line in _side_by_side(f"{name}, {kind}", keys, kind, rounds)
    ]


def _side_by_side(what: str, keys: int, kind: str, rounds: int) -> Iterator[Line]:
    with ExitStack() as stack:
        workers = {name: stack.enter_context(_worker(name, keys, kind)) for name in CONTENDERS}
        number = max(CALLS, keys)
        for worker in workers.values():
            _measured(worker, number)  # warm
        found: dict[str, list[Round]] = {name: [] for name in workers}
        for _ in range(rounds):
            for name, worker in workers.items():
                found[name].append(_measured(worker, number))
    for name, taken in found.items():
        yield summary(f"{what}: {name}", DICT, taken)


@contextmanager
def _worker(name: str, keys: int, kind: str) -> Iterator[Worker]:
    command = [str(ENVIRONMENT.python), "-m", "tests.benchmarks.peers.worker", name, str(keys), kind]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        yield worker
        worker.communicate()


def _measured(worker: Worker, number: int) -> Round:
    assert worker.stdin is not None
    assert worker.stdout is not None
    print(number, file=worker.stdin, flush=True)
    return Round(*json.loads(worker.stdout.readline()))
