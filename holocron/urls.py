"""The URLs of the web server."""

from django.contrib import admin
from django.urls import path

from derive import web

# The pages must register with the site before its URLs are read.
admin.autodiscover()

urlpatterns = [
    path("admin/", admin.site.urls),
    path("healthz", web.healthz),
    path("readyz", web.readyz),
    path("metrics", web.metrics),
]

handler400 = "derive.admin.site.refusals.bad_request"
handler403 = "derive.admin.site.denied.denied"
handler404 = "derive.admin.site.refusals.not_found"
handler500 = "derive.admin.site.refusals.failed"
