"""What of a log a bucket would have been asked about, and as whom."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote

from ratelimit_core.buckets import Bucket, Identify
from ratelimit_core.identity import Identity, Proxies
from ratelimit_core.rules import Rule
from ratelimit_core.simulate.accesslog import Logged, read_line
from ratelimit_core.simulate.replaying import Arrival


@dataclass(slots=True)
class Traffic:
    """The arrivals of one or several logs, in order of time; `left_out` are requests that the bucket has no part in."""

    lines: int = 0
    malformed: int = 0
    left_out: int = 0
    arrivals: list[Arrival] = field(default_factory=list)

    def gather(self, lines: Iterable[str], bucket: Bucket, rule: Rule | None = None) -> None:
        """Add the requests of these lines, or those that the rule puts into the bucket; OPTIONS is never charged."""
        identities: dict[tuple[str, str | None], str] = {}  # each is one text, however often it comes
        proxies = Proxies()
        for line in lines:
            self.lines += 1
            logged = read_line(line)
            if logged is None:
                self.malformed += 1
            elif logged.method == "OPTIONS" or not (rule is None or _covers(rule, bucket, logged)):
                self.left_out += 1
            else:
                client = logged.address, logged.user
                identity = identities.get(client)
                if identity is None:
                    identity = identities[client] = _identity(bucket, proxies, logged)
                self.arrivals.append(Arrival(logged.at_us, identity))
        self.arrivals.sort(key=lambda arrival: arrival.at_us)


def _covers(rule: Rule, bucket: Bucket, logged: Logged) -> bool:
    return rule.acts_on(bucket, logged.method) and rule.matches(unquote(logged.path))


def _identity(bucket: Bucket, proxies: Proxies, logged: Logged) -> str:
    """The logged user, else the address, as the bucket says; a client that the log knows by name only is a `key`."""
    if logged.user is not None and bucket.identify is Identify.USER:
        return str(Identity.user(logged.user))
    located = proxies.locate(logged.address, ())
    return str(Identity.key(logged.address) if located.note else located.identity)
