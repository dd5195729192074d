"""``gunicorn testproject.wsgi``; serves the static files too, as a demo has no web server in front."""

from __future__ import annotations

import os

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "testproject.settings")

application = StaticFilesHandler(get_wsgi_application())
