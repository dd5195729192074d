"""What `python3 -m testproject` runs once everything is installed: the database, the demo's data, the server."""

import os
import socket
import sys
from contextlib import suppress

import django
import uvicorn
from django.core.management import call_command

GUIDE = """
Open {url}/ and log in as alice, bob or admin (the password is the name); the admin is {url}/admin/, and in it
what the limits do, what others would do, and their switches: {url}/admin/django_ratelimit_gcra/dashboard/.

Fire a burst, and watch the refused ones wait and be answered: {url}/burst/

Every answer says what is left:
  curl -i {url}/instructors/
Read pages are in shadow here: the 11th of these would have been refused, and passes; RateLimit shows r=0:
  for i in 1 2 3 4 5 6 7 8 9 10 11; do curl -si {url}/instructors/ | grep -iE '^(HTTP|x-ratelimit-remaining)'; done
Start again with RATE_LIMIT_SHADOW_READ=false, and the same line ends in a 429 with Retry-After.
Writing is enforced: three at once, then one every three seconds (with alice's token):
  for i in 1 2 3 4; do curl -si {url}/api/bookings/ -H 'Authorization: Token {alice}' \\
    -d instructor=1 -d starts_at=2031-01-0${{i}}T10:00Z | grep -iE '^(HTTP|retry-after|x-ratelimit)'; done
So is paying: once, then once in twelve seconds; nobody pays without a user (401, and nothing is charged):
  curl -i {url}/api/bookings/1/pay/ -H 'Authorization: Token {alice}' -d card=4242424242424242
  curl -i {url}/api/bookings/1/pay/ -d card=4242424242424242

Ctrl-C ends it.
"""


def prepare() -> None:
    """The tables and the demo's people; what is there stays."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "testproject.settings")
    django.setup()
    call_command("migrate", verbosity=0)
    call_command("demo_data")


def listen(host: str, port: int) -> socket.socket:
    """The socket to serve on; raises OSError when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def guide(url: str) -> str:
    """What to open and what to try."""
    from testproject.marketplace.demo import demo_token

    return GUIDE.format(url=url, alice=demo_token("alice"))


def main(host: str, port: str) -> None:
    try:
        listener = listen(host, int(port))
    except OSError as error:
        sys.exit(f"FAILED: {host}:{port} can't be listened on ({error.strerror}); try: python3 -m testproject --port 0")
    with listener:
        prepare()
        name = f"[{host}]" if ":" in host else host
        print(guide(f"http://{name}:{listener.getsockname()[1]}"), flush=True)
        config = uvicorn.Config("testproject.asgi:application", log_level="warning", lifespan="off")
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
