"""Uploaded and produced files: on disk, found by id, gone when they expire."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from offpeak.emulator.wire import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One file as the files endpoint shows it. Its bytes never change."""

    id: str
    path: Path
    size_bytes: int
    filename: str
    purpose: str
    created_at: float
    expires_at: float | None

    def as_json(self) -> JsonObject:
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.size_bytes,
            "created_at": int(self.created_at),
            "expires_at": None if self.expires_at is None else int(self.expires_at),
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


class Files:
    """The account's files, oldest first. An expired file is as absent as a deleted one."""

    def __init__(self) -> None:
        self._files: dict[str, StoredFile] = {}
        self._lock = threading.Lock()

    def add(self, file: StoredFile) -> None:
        with self._lock:
            self._files[file.id] = file

    def get(self, file_id: str, *, now: float) -> StoredFile | None:
        file = self._files.get(file_id)
        return file if file is not None and _alive(file, now) else None

    def remove(self, file_id: str) -> None:
        with self._lock:
            file = self._files.pop(file_id, None)
        if file is not None:
            file.path.unlink(missing_ok=True)

    def visible(self, *, now: float, purpose: str | None = None) -> Iterator[StoredFile]:
        for file in list(self._files.values()):
            if _alive(file, now) and purpose in (None, file.purpose):
                yield file


def _alive(file: StoredFile, now: float) -> bool:
    return file.expires_at is None or now < file.expires_at
