"""The site for gunicorn and uvicorn."""

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

from django_ratelimit_gcra import runtime
from tests.faults.mortal import deaths

wsgi, asgi = get_wsgi_application(), get_asgi_application()
runtime.use_sinks(deaths.sink)
