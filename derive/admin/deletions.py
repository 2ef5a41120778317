"""Lake deletions: folders of purged jobs, gone or still to go."""

from django.contrib import admin

from derive.admin.columns import column
from derive.admin.reading import ReadingAdmin
from derive.admin.texts import cell
from derive.models import LakeDeletion


@admin.register(LakeDeletion)
class LakeDeletionAdmin(ReadingAdmin):
    """The deletions, newest first."""

    number = "deletion_seq"
    list_display = ("deletion_seq", "lake_uri", "requested_utc", "requested_by", "attempts", "fault", "deleted_utc")

    @column("last error")
    def fault(self, row: LakeDeletion) -> str:
        """Return why it did not work yet."""
        return cell(row.last_error)
