"""``uvicorn testproject.asgi:application``; serves the static files too, as a demo has no web server in front."""

from __future__ import annotations

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "testproject.settings")

application = ASGIStaticFilesHandler(get_asgi_application())
