"""A file that is being uploaded: nothing of it can be left behind."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import RequestFactory

from abm.uploads import IN_MEMORY_BYTES


@pytest.mark.parametrize("size", [10, IN_MEMORY_BYTES + 1])
def test_a_file_under_way_has_no_name_that_outlives_the_process(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    content = bytes(size)

    request = RequestFactory().post("/", {"audio": SimpleUploadedFile("a.wav", content)})
    upload: Any = request.FILES["audio"]

    assert list(tmp_path.iterdir()) == []
    assert (upload.name, upload.size) == ("a.wav", size)
    assert upload.read() == content
