"""Saved views of the admin's lists: ordinary Django tables, which name filters and never rows."""

from typing import ClassVar

from django.conf import settings
from django.db import models

NAME_CHARACTERS = 60
FILTER_CHARACTERS = 2_000


class SavedView(models.Model):
    """A list's filters under a name, of one person or shared with all who see the list."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    page = models.CharField("list", max_length=60)
    """The list's model, such as ``job``."""
    name = models.CharField("name", max_length=NAME_CHARACTERS)
    filter = models.CharField("filter", max_length=FILTER_CHARACTERS, blank=True)
    """The filters that are set, as in the list's address."""
    display = models.CharField("columns and density", max_length=200, blank=True)
    is_shared = models.BooleanField("shared", default=False)

    class Meta:
        default_permissions: ClassVar = ()
        permissions: ClassVar = [
            ("share_views", "Can share views of lists"),
            ("manage_shared_views", "Can rename and remove views that others share"),
        ]
        verbose_name = "saved view"
        verbose_name_plural = "saved views"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["owner", "page", "name"], name="uq_saved_view_name"),
        ]
        indexes: ClassVar = [models.Index(fields=["page", "is_shared"], name="ix_saved_view_page")]

    def __str__(self) -> str:
        return self.name


class DefaultView(models.Model):
    """The view that a person's list opens with."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    page = models.CharField("list", max_length=60)
    view = models.ForeignKey(SavedView, on_delete=models.CASCADE, related_name="+")

    class Meta:
        default_permissions: ClassVar = ()
        verbose_name = "default view"
        verbose_name_plural = "default views"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["person", "page"], name="uq_default_view_page"),
        ]

    def __str__(self) -> str:
        return f"{self.page}: {self.view_id}"
