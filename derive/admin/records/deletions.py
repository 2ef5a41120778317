"""Lake deletions: folders of purged jobs, deleted or still to be deleted."""

from django.contrib import admin

from derive.admin.display.untrusted_text import cell
from derive.admin.lists.columns import column
from derive.admin.lists.read_only_admin import ReadOnlyAdmin
from derive.models import LakeDeletion


@admin.register(LakeDeletion)
class LakeDeletionAdmin(ReadOnlyAdmin):
    """All deletions, newest first."""

    number = "deletion_seq"
    list_display = ("deletion_seq", "lake_uri", "requested_utc", "requested_by", "attempts", "fault", "deleted_utc")

    @column("last error")
    def fault(self, row: LakeDeletion) -> str:
        """Return the last error."""
        return cell(row.last_error)
