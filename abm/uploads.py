"""How the files of a form are held while a request is answered: without a name on the disk.

Django's own temporary files have one, so a process that is killed leaves them behind.
"""

from __future__ import annotations

import tempfile
from typing import IO, Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler

IN_MEMORY_BYTES = 2_621_440


class NamelessUpload(FileUploadHandler):
    """Small files stay in memory; larger ones lie where TMPDIR says and vanish with the process."""

    content: IO[bytes]

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.content = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115  closed with the request

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.content.write(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile[bytes]:
        self.content.seek(0)
        return UploadedFile(
            self.content,
            self.file_name,
            self.content_type,
            file_size,
            self.charset,
            self.content_type_extra,
        )
