"""Which bucket a request belongs to, by what a door knows of it before any view runs."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ratelimit_core.buckets import Bucket
from ratelimit_core.errors import ConfigurationError

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_UNSHIELDED = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS = frozenset({"GET", "HEAD", "TRACE", "POST", "PUT", "PATCH", "DELETE", "CONNECT"})


@dataclass(frozen=True, slots=True)
class Rule:
    """Put requests into `bucket` by path, pattern, URL name or namespace, and method.

    `path` is a prefix of whole segments, in which `*` stands for one segment: `/pay` covers `/pay` and `/pay/card`,
    not `/payroll`. `pattern` is a regular expression matched from the start of the path. A rule without `methods`
    covers all of them (a shielded bucket: those that write); `GET` covers `HEAD`. Raises ConfigurationError.
    """

    bucket: str
    path: str | None = None
    pattern: str | re.Pattern[str] | None = None
    url_name: str | None = None
    namespace: str | None = None
    methods: frozenset[str] | Iterable[str] | None = None

    def __post_init__(self) -> None:
        if self.methods is not None:
            object.__setattr__(self, "methods", read_methods(self.methods, "rule methods"))
        for name in ("bucket", "url_name", "namespace"):
            value = getattr(self, name)
            if not (value is None or isinstance(value, str)):
                raise ConfigurationError(f"rule {name}", value, "a name, as text")
        if self.path is not None and not (isinstance(self.path, str) and self.path.startswith("/")):
            raise ConfigurationError("rule path", self.path, "a path that starts with /")
        if self.path is not None and self.pattern is not None:
            raise ConfigurationError("rule", self.path, "give path or pattern, not both")
        if not any((self.path, self.pattern, self.url_name, self.namespace)):
            raise ConfigurationError("rule", self.bucket, "it needs a path, pattern, url_name or namespace")
        object.__setattr__(self, "pattern", self._compiled())

    def _compiled(self) -> re.Pattern[str] | None:
        if self.path is not None:
            prefix = re.escape(self.path).replace(r"\*", "[^/]+")
            return re.compile(prefix if self.path.endswith("/") else prefix + r"(?:/|\Z)")
        try:
            pattern = None if self.pattern is None else re.compile(self.pattern)
        except (re.error, TypeError) as error:
            raise ConfigurationError("rule pattern", self.pattern, f"a regular expression ({error})") from None
        if pattern is not None and not isinstance(pattern.pattern, str):
            raise ConfigurationError("rule pattern", self.pattern, "a regular expression for text")
        return pattern

    @property
    def weight(self) -> tuple[bool, int, int, bool]:
        """How exact a rule is: a URL name before a path, a longer path before a shorter one, methods before none."""
        pattern = self.pattern.pattern if isinstance(self.pattern, re.Pattern) else ""
        length = len(self.path or pattern)
        return self.url_name is not None, length, len(self.namespace or ""), self.methods is not None

    def acts_on(self, bucket: Bucket, method: str) -> bool:
        """Whether the rule's bucket acts on this method."""
        return acts_on(bucket, method, None if self.methods is None else frozenset(self.methods))

    def matches(self, path: str, url_name: str | None = None, namespaces: Sequence[str] = ()) -> bool:
        """Whether the rule covers this place, whatever the method."""
        if (
            self.url_name is not None
            and self.url_name != url_name
            and self.url_name != ":".join((*namespaces, url_name or ""))
        ):
            return False
        if self.namespace is not None and self.namespace not in (*namespaces, ":".join(namespaces)):
            return False
        return not isinstance(self.pattern, re.Pattern) or self.pattern.match(path) is not None


def read_methods(given: object, setting: str) -> frozenset[str]:
    """Methods in upper case; raises ConfigurationError for what is no list of HTTP methods (RFC 9110, RFC 5789)."""
    methods = () if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
    if not methods or not all(isinstance(method, str) and method.upper() in _METHODS for method in methods):
        raise ConfigurationError(setting, given, f"a list or set of methods, such as ['POST'], of {_listed(_METHODS)}")
    return frozenset(method.upper() for method in methods)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def ordered(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The most exact rule first; equal ones as they were given."""
    return tuple(sorted(rules, key=lambda rule: rule.weight, reverse=True))


def acts_on(bucket: Bucket, method: str, methods: frozenset[str] | None) -> bool:
    """Whether a bucket chosen with `methods` acts on this one; a shielded bucket leaves GET, HEAD and OPTIONS alone.

    It acts on every other method, unknown ones included: a view that does not look at the method runs on them, too.
    """
    if methods is None:
        return not (bucket.shielded and method in _UNSHIELDED)
    return method in methods or (method == "HEAD" and "GET" in methods)


def default_bucket(method: str) -> str:
    """The bucket of a request that nothing else claims."""
    return "read" if method in SAFE_METHODS else "write"
