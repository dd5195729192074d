"""What a bucket is by default, and what it can not be."""

import pytest

from ratelimit_core import Bucket, ConfigurationError, Mode, Quota
from ratelimit_core.buckets import Idempotency, Identify, OnError, Record, StoreDown, default_buckets

READ = "60/m:10"
DAY_US = 86_400_000_000


def refusal(**fields: object) -> ConfigurationError:
    """Why a bucket with these fields can not be."""
    with pytest.raises(ConfigurationError) as caught:
        Bucket(**{"name": "chat", "quota": READ, **fields})  # type: ignore[arg-type]  # on purpose
    return caught.value


def test_the_defaults_of_a_bucket_are_those_of_the_table() -> None:
    bucket = Bucket("chat", quota=READ)
    assert bucket.quotas == (Quota.parse(READ),)
    assert (bucket.mode, bucket.canary_percent) == (Mode.ENFORCE, 0)
    assert (bucket.identify, bucket.require_user) == (Identify.USER, False)
    assert (bucket.concurrency, bucket.lease_ttl_us) == (None, 30_000_000)
    assert (bucket.idempotency, bucket.record, bucket.on_error) == (None, Record.STORE, OnError.UNKNOWN)
    assert (bucket.retention_us, bucket.derived_ttl_us, bucket.unknown_ttl_us) == (DAY_US, None, None)
    assert (bucket.replay_quota, bucket.max_body) == (Quota.parse("60/m:20"), 10 * 1024 * 1024)
    assert (bucket.store_down, bucket.unprotected_when_down) == (StoreDown.OPEN, False)
    assert not bucket.shielded


def test_the_four_default_buckets_are_those_of_the_table() -> None:
    auth, read, write, financial = default_buckets()
    table = [(one.name, one.quotas, one.mode, one.store_down, one.shielded) for one in (auth, read, write, financial)]
    assert table == [
        ("auth_bootstrap", (Quota.parse("100/m:20"),), Mode.SHADOW, StoreDown.OPEN, False),
        ("read", (Quota.parse("60/m:10"),), Mode.SHADOW, StoreDown.OPEN, False),
        ("write", (Quota.parse("20/m:3"),), Mode.ENFORCE, StoreDown.OPEN, False),
        ("financial", (Quota.parse("5/m:1"),), Mode.ENFORCE, StoreDown.CLOSED, True),
    ]
    assert (financial.require_user, financial.concurrency, financial.lease_ttl_us) == (True, 1, 30_000_000)
    assert (financial.idempotency, financial.retention_us) == (Idempotency.DERIVED, DAY_US)
    assert financial.replay_quota == Quota.parse("60/m:20")
    assert not any(one.require_user for one in (auth, read, write))


def test_quotas_are_given_as_values_or_as_text() -> None:
    several = Bucket("chat", quotas=[Quota.parse("5/m:1"), "50/h:10"])  # type: ignore[list-item]  # text is read
    assert several.quotas == (Quota.parse("5/m:1"), Quota.parse("50/h:10"))
    assert Bucket("chat", quota=Quota.parse(READ)) == Bucket("chat", quotas=(Quota.parse(READ),))


def test_choices_may_be_written_as_text() -> None:
    bucket = Bucket("chat", quota=READ, mode="shadow", identify="address", store_down="allow")  # type: ignore[arg-type]
    assert bucket.mode is Mode.SHADOW
    assert bucket.identify is Identify.ADDRESS
    assert bucket.store_down is StoreDown.ALLOW


@pytest.mark.parametrize("name", ["", "Chat", "1chat", "_chat", "cha t", "chat:x", "c" * 33, "chat\n", "chät", None, 5])
def test_a_name_that_would_not_fit_keys_and_labels_is_refused(name: object) -> None:
    assert str(refusal(name=name)) == f"bucket name = {name!r} can't be used: it must match [a-z][a-z0-9_]{{0,31}}"


@pytest.mark.parametrize("name", ["c", "c" * 32, "a_1"])
def test_a_name_of_small_letters_digits_and_underscores_is_accepted(name: str) -> None:
    assert Bucket(name, quota=READ).name == name


@pytest.mark.parametrize(
    ("fields", "setting", "accepted"),
    [
        ({"quota": None}, "quotas", "at least one quota"),
        ({"quotas": [READ]}, "quotas", "not both"),
        ({"quota": None, "quotas": []}, "quotas", "at least one quota"),
        ({"quota": None, "quotas": READ}, "quotas", "a list of quotas"),
        ({"quota": None, "quotas": Quota.parse(READ)}, "quotas", "a list of quotas"),
        ({"quota": None, "quotas": 60}, "quotas", "a list of quotas"),
        ({"quota": None, "quotas": ["60/m:10", "30/m:5"]}, "quotas", "a name of its own"),
        ({"quota": "10/month"}, "quota", "write rate/period:burst"),
        ({"quota": "0/m:1"}, "quota rate", "at least 1"),
        ({"quota": "60/m:0"}, "quota burst", "at least 1"),
        ({"replay_quota": "much"}, "quota", "write rate/period:burst"),
        ({"replay_quota": None}, "quota", "write rate/period:burst"),
        ({"mode": "on"}, "mode", "one of off, shadow, canary, enforce"),
        ({"mode": None}, "mode", "one of off, shadow, canary, enforce"),
        ({"mode": []}, "mode", "one of off, shadow, canary, enforce"),
        ({"identify": "session"}, "identify", "one of user, address"),
        ({"idempotency": "yes"}, "idempotency", "one of required, optional, derived"),
        ({"record": "disk"}, "record", "one of store, database"),
        ({"on_error": "ignore"}, "on_error", "one of unknown, release"),
        ({"store_down": "ajar"}, "store_down", "one of open, closed, allow"),
        ({"canary_percent": 101}, "canary_percent", "from 0 to 100"),
        ({"canary_percent": -0.1}, "canary_percent", "from 0 to 100"),
        ({"canary_percent": float("nan")}, "canary_percent", "from 0 to 100"),
        ({"canary_percent": "10"}, "canary_percent", "from 0 to 100"),
        ({"canary_percent": True}, "canary_percent", "from 0 to 100"),
        ({"require_user": "yes"}, "require_user", "true or false"),
        ({"unprotected_when_down": 1}, "unprotected_when_down", "true or false"),
        ({"concurrency": 0}, "concurrency", "at least 1"),
        ({"concurrency": 1.5}, "concurrency", "at least 1"),
        ({"concurrency": True}, "concurrency", "at least 1"),
        ({"max_body": -1}, "max_body", "0 or more"),
        ({"max_body": "10MB"}, "max_body", "0 or more"),
        ({"lease_ttl_us": 0}, "lease_ttl_us", "at most 7 days"),
        ({"lease_ttl_us": None}, "lease_ttl_us", "at most 7 days"),
        ({"retention_us": 7 * DAY_US + 1}, "retention_us", "at most 7 days"),
        ({"derived_ttl_us": 0}, "derived_ttl_us", "at most 7 days"),
        ({"unknown_ttl_us": 1.5}, "unknown_ttl_us", "at most 7 days"),
    ],
)
def test_a_field_that_can_not_be_used_is_named_with_its_bucket_and_what_is_accepted(
    fields: dict[str, object], setting: str, accepted: str
) -> None:
    error = refusal(**fields)
    assert error.setting == f"bucket 'chat': {setting}"
    assert accepted in error.accepted
    assert repr(error.value) in str(error)


def test_the_longest_retention_is_seven_days() -> None:
    assert Bucket("chat", quota=READ, retention_us=7 * DAY_US, derived_ttl_us=1).retention_us == 7 * DAY_US


@pytest.mark.parametrize("shield", [{"concurrency": 1}, {"idempotency": "optional"}])
@pytest.mark.parametrize("store_down", ["open", "allow"])
def test_a_shield_that_would_be_dropped_with_the_store_is_refused(shield: dict[str, object], store_down: str) -> None:
    error = refusal(**shield, store_down=store_down)
    assert (error.setting, error.value) == ("bucket 'chat': store_down", store_down)
    assert "'closed'" in error.accepted
    assert "unprotected_when_down=True" in error.accepted


@pytest.mark.parametrize("shield", [{"concurrency": 1}, {"idempotency": "optional"}])
@pytest.mark.parametrize("answer", [{"store_down": "closed"}, {"unprotected_when_down": True}])
def test_a_shield_is_accepted_where_its_loss_is_answered_for(
    shield: dict[str, object], answer: dict[str, object]
) -> None:
    assert Bucket(**{"name": "chat", "quota": READ, **shield, **answer}).shielded  # type: ignore[arg-type]


def test_a_derived_record_of_an_address_is_refused() -> None:
    """One address may stand for many people: two of them may pay the same sum at once."""
    error = refusal(idempotency="derived", identify="address", store_down="closed")
    assert (error.setting, error.value) == ("bucket 'chat': idempotency", "derived")
    assert refusal(idempotency="derived", identify="address", store_down="open").setting == error.setting


def test_a_bucket_can_not_be_changed() -> None:
    with pytest.raises(AttributeError):
        Bucket("chat", quota=READ).mode = Mode.OFF  # type: ignore[misc]  # on purpose
