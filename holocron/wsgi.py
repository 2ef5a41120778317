"""The WSGI entry point: ``holocron.wsgi:application``."""

import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "holocron.settings")

application = get_wsgi_application()
# Load all pages before the first request; with --preload, once for all processes.
import_module(settings.ROOT_URLCONF)
