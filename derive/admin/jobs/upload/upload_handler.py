"""Writes an uploaded file to disk as it arrives, up to a size limit."""

from typing import Any

from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile
from django.http import HttpRequest
from typing_extensions import override

from derive.intake.uploads_folder import UploadsFolder

MAX_UPLOAD_BYTES = 50 * 1024 * 1024
MAX_REQUEST_BYTES = 10 * MAX_UPLOAD_BYTES
"""How much of a refused file is still read, so that the browser sees the error."""
FIELD = "file"
_UNREADABLE = (
    (b"PK\x03\x04", "is a zip archive or a spreadsheet: unpack it, or save it as CSV"),
    (b"\x1f\x8b", "is compressed: unpack it first"),
    (b"\xff\xfe", "is UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "is UTF-16: save it as UTF-8"),
)


class ReceivedFile(TemporaryUploadedFile):
    """A file in the upload folder; deleted unless it is moved away."""

    def __init__(self, file: Any, name: str | None) -> None:
        UploadedFile.__init__(self, file, name)


class UploadHandler(FileUploadHandler):
    """Writes the file of one form field to the upload folder and ignores all other files."""

    def __init__(self, request: HttpRequest, *, folder: UploadsFolder) -> None:
        super().__init__(request)
        self.is_too_large = False
        self._folder = folder
        self._file: ReceivedFile | None = None

    @override
    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        if self.field_name != FIELD or self._file is not None:
            raise SkipFile
        self._file = ReceivedFile(self._folder.new_file(), self.file_name)

    @override
    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if start + len(raw_data) > MAX_UPLOAD_BYTES:
            self.is_too_large = True
            self.upload_interrupted()
            raise SkipFile
        if self._file is not None:
            self._file.write(raw_data)

    @override
    def file_complete(self, file_size: int) -> ReceivedFile | None:
        if self._file is not None:
            self._file.seek(0)
            self._file.size = file_size
        return self._file

    @override
    def upload_interrupted(self) -> None:
        if self._file is not None:
            self._file.close()


def unreadable(head: bytes) -> str:
    """Return why a file with this beginning is not JSONL or CSV. Invalid lines are reported later."""
    if not head:
        return "is empty"
    why = next((why for mark, why in _UNREADABLE if head.startswith(mark)), "")
    return why or ("is not a text file: upload JSONL or CSV" if b"\x00" in head else "")
