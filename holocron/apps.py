"""The admin's own site in Django's place."""

from django.contrib.admin.apps import AdminConfig


class HolocronAdminConfig(AdminConfig):
    """Django's admin, with the site that refuses aloud."""

    default_site = "holocron.admin_site.HolocronSite"
