"""Which buckets a request belongs to, and which requests are left alone: the arguments of the middleware, read."""

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from asgi_ratelimit.scope import Scope, app_path, method_of, resolved
from ratelimit_core import Config, ConfigurationError, Rule
from ratelimit_core.rules import ordered

Names = str | Iterable[str] | None
Default = str | Callable[[Scope], Names | Awaitable[Names]] | None
Predicate = Callable[[Scope], bool]
Exempt = Predicate | Iterable[str | Predicate]
Cost = int | Callable[[Scope], int | Awaitable[int]]


class Chosen(NamedTuple):
    """The buckets of a request, none if it is left alone; and a name for where it went, for the sinks."""

    buckets: tuple[str, ...] = ()
    route: str | None = None


class Choice:
    """Chooses by exemptions, then rules (the most exact first), then the default."""

    __slots__ = ("_default", "_predicates", "_rules", "_spared")

    def __init__(self, config: Config, rules: Iterable[Rule] | None, default: Default, exempt: Exempt) -> None:
        given_rules = config.rules if rules is None else tuple(rules)
        for rule in given_rules:
            _check_rule(config, rule)
        self._rules = ordered(given_rules)
        self._default = default
        given = (exempt,) if callable(exempt) else _listed(exempt)
        self._predicates = tuple(one for one in given if callable(one))
        self._spared = tuple(_spared(one) for one in given if not callable(one))
        if isinstance(default, str):
            _check_name(config, "RateLimitMiddleware: default", default)
        elif default is not None and not callable(default):
            raise ConfigurationError("RateLimitMiddleware: default", default, "a bucket's name, a callable or None")

    @property
    def buckets(self) -> set[str]:
        """Every bucket that is known beforehand."""
        default = {self._default} if isinstance(self._default, str) else set()
        return default | {rule.bucket for rule in self._rules}

    async def __call__(self, config: Config, scope: Scope) -> Chosen:
        """Choose for one request. OPTIONS is always left alone: a preflight can't wait and come back."""
        method = method_of(scope)
        path = app_path(scope)
        if method == "OPTIONS" or any(rule.matches(path) for rule in self._spared):
            return Chosen()
        if any(spare(scope) for spare in self._predicates):
            return Chosen()
        for rule in self._rules:
            if rule.matches(path) and rule.acts_on(config.policy(rule.bucket).bucket, method):
                return Chosen((rule.bucket,), rule.path or str(getattr(rule.pattern, "pattern", "")))
        names = await resolved(self._default(scope)) if callable(self._default) else self._default
        names = (names,) if isinstance(names, str) else tuple(names or ())
        return Chosen(config.acting(names, method))


def _listed(exempt: Iterable[str | Predicate]) -> tuple[str | Predicate, ...]:
    if isinstance(exempt, str):
        raise ConfigurationError("RateLimitMiddleware: exempt", exempt, "a list of paths and callables")
    return tuple(exempt)


def _spared(path: str) -> Rule:
    """A prefix of whole segments, but `/` itself: as a prefix it would switch the limiter off."""
    return Rule("exempt", pattern=r"/\Z") if path == "/" else Rule("exempt", path=path)


def _check_rule(config: Config, rule: Rule) -> None:
    if not isinstance(rule, Rule):
        raise ConfigurationError("RateLimitMiddleware: rules", rule, "Rule(...) values")
    _check_name(config, "RateLimitMiddleware: rules: bucket", rule.bucket)
    if rule.url_name is not None or rule.namespace is not None:
        raise ConfigurationError(
            "RateLimitMiddleware: rules", rule.url_name or rule.namespace, "path or pattern: ASGI knows no URL names"
        )


def _check_name(config: Config, setting: str, name: str) -> None:
    if name not in config.policies:
        raise ConfigurationError(setting, name, "the buckets are " + ", ".join(config.policies))
