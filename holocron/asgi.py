"""The ASGI entry point: ``holocron.asgi:application``."""

import os
from importlib import import_module

from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "holocron.settings")

application = get_asgi_application()
# Load all pages before the first request.
import_module(settings.ROOT_URLCONF)
