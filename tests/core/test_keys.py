"""Two different things never share a key of the store."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_core import Bucket, Identity, IdentityError, Quota, keys

KEY = re.compile(r"[A-Za-z0-9._-]+:rl:[a-z][a-z0-9_]*:\{(user|ip|key):[^{}|#]+\}(\|[^{}|#]+)?(#[a-z0-9_]+)?")


@pytest.mark.parametrize(
    ("identity", "scope", "label", "key"),
    [
        (Identity.user("42"), None, None, "shop:rl:read:{user:42}"),
        (Identity.user("42"), None, "3600s", "shop:rl:read:{user:42}#3600s"),
        (Identity.user("42"), "room-7", None, "shop:rl:read:{user:42}|room-7"),
        (Identity.user("42"), "room-7", "slow", "shop:rl:read:{user:42}|room-7#slow"),
        (Identity.ip("203.0.113.9"), None, None, "shop:rl:read:{ip:203.0.113.9}"),
        (Identity.ip("2001:db8::/64"), None, None, "shop:rl:read:{ip:2001:db8::/64}"),
        (Identity.key("job@night"), None, None, "shop:rl:read:{key:job@night}"),
    ],
)
def test_a_key_reads_as_what_it_stands_for(identity: Identity, scope: str | None, label: str | None, key: str) -> None:
    assert keys.quota("shop", "read", identity, scope, label) == key


@pytest.mark.parametrize(
    "text", ["{", "}", "|", "~", "#", "a b", "\n", "a\n", "", "ä", "\ud800", "x" * 65, "x" * 10_240]
)
def test_what_is_not_plain_is_hashed(text: str) -> None:
    assert re.fullmatch(r"~[A-Za-z0-9_-]{43}", keys.component(text))


@pytest.mark.parametrize("text", ["42", "x" * 64, "a.b_c:d@e/f-g"])
def test_what_is_plain_stays_readable(text: str) -> None:
    assert keys.component(text) == text


def test_a_hash_is_the_same_in_every_process() -> None:
    assert keys.component("{}") == "~RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o"


value = (
    st.text(min_size=1, max_size=8)
    | st.text(alphabet="a|#~{}:\n\ud800", min_size=1, max_size=8)
    | st.integers(0, 99).map(str)
)
thing = st.tuples(
    st.sampled_from(["a", "a-b", "A.b_c"]),
    st.sampled_from(["read", "rl", "a_1"]),
    st.builds(Identity, st.sampled_from(["user", "ip", "key"]), value),
    st.none() | st.just("") | value,
    st.none() | st.sampled_from(["60s", "3600s", "slow"]),
)
Thing = tuple[str, str, Identity, str | None, str | None]


@given(st.lists(thing, min_size=2, max_size=12, unique=True))
def test_different_things_have_different_keys(things: list[Thing]) -> None:
    assert len({keys.quota(*one) for one in things}) == len(things)


@given(thing)
def test_every_key_has_the_form_that_redis_cluster_and_operators_read(one: Thing) -> None:
    key = keys.quota(*one)
    assert KEY.fullmatch(key)
    assert len(key) < 250


@given(thing)
def test_all_keys_of_an_identity_share_its_hash_tag(one: Thing) -> None:
    assert re.findall(r"\{(.*?)\}", keys.quota(*one)) == [keys.tag(one[2])[1:-1]]


@pytest.mark.parametrize("kind", ["user:4", "", "team", "user}", "USER"])
def test_a_kind_that_could_spell_somebody_else_is_refused(kind: str) -> None:
    """`user:4` with `2` would be the user `4:2`."""
    with pytest.raises(IdentityError, match=r"can't be charged: use Identity.user, .ip or .key"):
        keys.tag(Identity(kind, "2"))


def test_the_keys_of_a_bucket_are_those_of_its_quotas_in_order() -> None:
    bucket = Bucket("pay", quotas=(Quota.parse("5/m:1"), Quota.parse("50/h:10"), Quota.parse("9/d:1", name="slow")))
    assert keys.quotas("shop", bucket, Identity.user("42"), "room-7") == (
        "shop:rl:pay:{user:42}|room-7",
        "shop:rl:pay:{user:42}|room-7#3600s",
        "shop:rl:pay:{user:42}|room-7#slow",
    )


@pytest.mark.parametrize(("shadow", "prefix"), [(False, "shop:"), (True, "shop:shadow:")])
def test_leases_and_records_in_shadow_live_apart(shadow: bool, prefix: str) -> None:
    alice = Identity.user("alice")
    assert keys.lease("shop", alice, "/pay/", None, shadow) == f"{prefix}lock:{{user:alice}}|/pay/"
    assert keys.lease("shop", alice, "/pay/", "booking:17", shadow) == f"{prefix}lock:{{booking:17}}"
    assert keys.record("shop", alice, "abc", shadow) == f"{prefix}idem:{{user:alice}}|abc"


lease = st.tuples(
    st.sampled_from(["a", "a-b"]),
    st.builds(Identity, st.sampled_from(["user", "ip", "key"]), value),
    value,
    st.none() | value,
    st.booleans(),
)


@given(st.lists(lease, min_size=2, max_size=8, unique=True), thing)
def test_leases_records_and_quotas_never_share_a_key(
    leases: list[tuple[str, Identity, str, str | None, bool]], quota: Thing
) -> None:
    own = [one for one in leases if one[3] is None]
    shared = {(namespace, on, shadow) for namespace, _, _, on, shadow in leases if on is not None}
    records = {(namespace, identity, shadow) for namespace, identity, _, _, shadow in leases}
    spelled = {keys.lease(*one) for one in leases}
    assert len(spelled) == len(own) + len(shared)
    spelled |= {keys.record(namespace, identity, "f" * 64, shadow) for namespace, identity, shadow in records}
    spelled |= {keys.replay(namespace, "read", identity) for namespace, identity in {one[:2] for one in records}}
    assert len(spelled) == len(own) + len(shared) + len(records) + len({one[:2] for one in records})
    assert keys.quota(*quota) not in spelled


def test_a_record_s_key_tells_identity_and_name() -> None:
    key = keys.record("shop", Identity.user("alice@example.com"), "abc", shadow=False)
    assert keys.record_parts(key) == ("user:alice@example.com", "abc")


# --- and back


@given(thing)
def test_a_quota_s_key_tells_what_it_stands_for(one: Thing) -> None:
    namespace, bucket, identity, scope, label = one
    narrowed = None if scope is None else keys.component(scope)
    assert keys.read(keys.quota(*one), namespace, identity) == keys.Spelled("rl", bucket, narrowed, label)


@given(lease)
def test_the_keys_of_shields_tell_what_they_stand_for(one: tuple[str, Identity, str, str | None, bool]) -> None:
    namespace, identity, route, _, shadow = one
    key = keys.lease(namespace, identity, route, None, shadow)
    assert keys.read(key, namespace, identity) == keys.Spelled("lock", keys.component(route), shadow=shadow)
    key = keys.record(namespace, identity, "f" * 64, shadow)
    assert keys.read(key, namespace, identity) == keys.Spelled("idem", "f" * 64, shadow=shadow)
    assert keys.read(keys.replay(namespace, "pay", identity), namespace, identity) == keys.Spelled("replay", "pay")


@given(thing, thing)
def test_a_key_is_read_as_its_own_identity_s_alone(one: Thing, other: Thing) -> None:
    same = (one[0], one[2]) == (other[0], other[2])
    assert (keys.read(keys.quota(*one), other[0], other[2]) is not None) == same


@pytest.mark.parametrize(
    "key",
    [
        "",
        "shop:policy",
        "shop:lock:{user:42}",
        "shop:rl:{user:42}",
        "shop:shadow:rl:read:{user:42}",
        "shop:shadow:replay:pay:{user:42}",
        "shop:idem:pay:{user:42}|f",
        "shop:other:{user:42}|f",
        "shop:rl:read:{user:42}x",
        "shopping:rl:read:{user:42}",
        "rl:read:{user:42}",
    ],
)
def test_what_was_never_spelled_is_nobody_s(key: str) -> None:
    assert keys.read(key, "shop", Identity.user("42")) is None


def test_the_mark_of_a_changed_policy_is_no_identity_s_key() -> None:
    assert keys.policy("shop") == "shop:policy"


def test_a_pattern_means_what_it_says_letter_by_letter() -> None:
    """A glob in a namespace or an identity would show an operator somebody else."""
    assert keys.pattern("a-b", Identity.key("x-1")) == r"a\-b:*{key:x\-1}*"
    assert keys.pattern("shop", Identity.key("[*?]")).startswith("shop:*{key:~")
