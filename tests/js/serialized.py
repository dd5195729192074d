"""What the serializer really says, for the tests of the browser kit: `headers.json` holds it, and a test compares.

`python -m tests.js.serialized` writes the answers into the file anew; those under `retry_after` are written by hand.
"""

import json
from pathlib import Path
from typing import Any

from ratelimit_core import Bucket, Config, Identity, Limiter, Mode, StoreError
from ratelimit_core.buckets import StoreDown
from ratelimit_core.commands import Finding, Reply, Shielded
from ratelimit_core.limiter import Options
from ratelimit_core.testing import ScriptedStore

FILE = Path(__file__).with_name("headers.json")
NOW_US = 1_767_225_600_000_000
SECOND = 1_000_000
BUCKETS = (
    Bucket("read", quota="60/m:10"),
    Bucket("watched", quota="60/m:10", mode=Mode.SHADOW),
    Bucket("hourly", quota="1/h:1"),
    Bucket("pair", quotas=("6/m:2", "60/h:6")),  # type: ignore[arg-type]  # text is read
    Bucket("closed", quota="60/m:10", store_down=StoreDown.CLOSED),
    *(policy.bucket for policy in Config.default().policies.values() if policy.bucket.name == "financial"),
)
ALICE = Identity.user("alice")


def plain(*rooms: int) -> Reply:
    """A plain bucket's reply: the room of each quota, negative for a refusal."""
    return NOW_US, *rooms


def found(finding: Finding, room: int = 0, answer: bytes = b"") -> Reply:
    """The reply about a payment with a key."""
    return Shielded((NOW_US, room), finding, 0, 0, 1, answer)


def answers() -> dict[str, dict[str, Any]]:
    """Each kind of answer by its name: status, headers in their order, and a refusal's body."""
    paying: Options = {"fingerprint": "abc", "idempotency_key": "k"}
    return {
        "something left": answer(plain(6 * SECOND), "read"),
        "the last unit": answer(plain(0), "read"),
        "refused": answer(plain(-SECOND), "read"),
        "refused in shadow": answer(plain(-SECOND), "watched"),
        "refused for an hour": answer(plain(-3600 * SECOND), "hourly"),
        "refused by the second of two quotas": answer(plain(5 * SECOND, -42 * SECOND), "pair"),
        "refused by one of two buckets": answer(plain(3 * SECOND, 5 * SECOND, -42 * SECOND), "read", "pair"),
        "refused a payment": answer(found(Finding.NOT_REACHED, -12 * SECOND), "financial", **paying),
        "a payment in progress": answer(found(Finding.IN_PROGRESS), "financial", **paying),
        "a payment in doubt": answer(found(Finding.OUTCOME_UNKNOWN), "financial", **paying),
        "without a store": answer(StoreError("timeout", "slow", wait_us=1_200_000), "closed"),
        "switched off": answer(None, "read"),
    }


def answer(reply: Reply | StoreError | None, *names: str, **options: Any) -> dict[str, Any]:
    """One answer; without a reply the limiter is switched off."""
    config = Config(buckets=BUCKETS, enabled=reply is not None)
    limiter = Limiter(config, ScriptedStore([] if reply is None else [reply]))
    admission = limiter.admit(ALICE, names, **options)
    if admission.allowed:
        return {"status": 200, "headers": limiter.headers(admission)}
    denial = limiter.denial(admission)
    clockless = isinstance(reply, StoreError)  # no store said what time it is
    headers = [pair for pair in denial.headers if not (clockless and pair[0] == "X-RateLimit-Reset")]
    return {"status": denial.status, "headers": headers, "body": json.loads(denial.body)}


def main() -> None:
    said = json.loads(FILE.read_text("utf-8"))
    FILE.write_text(json.dumps({**said, "answers": answers()}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
