"""The WSGI entry point: ``holocron.wsgi:application``."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "holocron.settings")

application = get_wsgi_application()
