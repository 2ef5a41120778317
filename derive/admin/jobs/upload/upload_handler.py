"""A file that arrives in a request: written to disk as it comes, as long as it is not too long."""

from typing import Any

from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile
from django.http import HttpRequest
from typing_extensions import override

from derive.intake.uploads_folder import UploadsFolder

MAX_UPLOAD_BYTES = 50 * 1024 * 1024
MAX_REQUEST_BYTES = 10 * MAX_UPLOAD_BYTES
"""What is still read to its end, so that a browser gets to see why its file is refused."""
FIELD = "file"
_UNREADABLE = (
    (b"PK\x03\x04", "is a zip archive or a spreadsheet: unpack it, or save it as CSV"),
    (b"\x1f\x8b", "is compressed: unpack it first"),
    (b"\xff\xfe", "is UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "is UTF-16: save it as UTF-8"),
)


class ReceivedFile(TemporaryUploadedFile):
    """A file in a folder of ours; whoever moves it away keeps it."""

    def __init__(self, file: Any, name: str | None) -> None:
        UploadedFile.__init__(self, file, name)


class UploadHandler(FileUploadHandler):
    """Writes the file of the one field into the folder of uploads; everything else that is sent is passed over."""

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
    """Return why a file that begins like this is none of ours; what is wrong with its lines, the lines tell."""
    if not head:
        return "is empty"
    why = next((why for mark, why in _UNREADABLE if head.startswith(mark)), "")
    return why or ("holds bytes that no text has: upload JSONL or CSV" if b"\x00" in head else "")
