"""The files endpoints: uploads go to disk, downloads come from it."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import BinaryIO

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from offpeak.emulator.answers import json_response
from offpeak.emulator.as_openai.asking import bad
from offpeak.emulator.as_openai.paging import page, page_size
from offpeak.emulator.as_openai.validation import check_upload
from offpeak.emulator.files import StoredFile
from offpeak.emulator.wire import ApiError
from offpeak.emulator.world import World

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
MAX_UPLOAD_BYTES = 512 * 1024 * 1024
MIN_LIFE_SECONDS, MAX_LIFE_SECONDS = 3_600, 2_592_000
MAX_PAGE = 10_000


class FileEndpoints:
    """Starlette endpoints over the world's files."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def create(self, request: Request) -> Response:
        async with request.form() as form:
            upload, purpose = form.get("file"), str(form.get("purpose") or "")
            if not isinstance(upload, UploadFile):
                raise bad("Missing required parameter: 'file'.", "file", "missing_required_parameter")
            if purpose not in PURPOSES:
                raise bad(f"'{purpose}' is not one of {list(PURPOSES)} - 'purpose'", "purpose")
            life = _life(form)
            path = self._world.new_path()
            size = await asyncio.to_thread(_keep, upload.file, path, upload.filename or "", purpose)
        now = self._world.now()
        if life is None and purpose == "batch":
            life = self._world.options.file_life_seconds
        file = StoredFile(
            id=self._world.ids.new("file-"),
            path=path,
            size_bytes=size,
            filename=upload.filename or "",
            purpose=purpose,
            created_at=now,
            expires_at=None if life is None else now + life,
        )
        self._world.files.add(file)
        return json_response(file.as_json())

    async def retrieve(self, request: Request) -> Response:
        return json_response(self._found(request).as_json())

    async def delete(self, request: Request) -> Response:
        file = self._found(request)
        self._world.files.remove(file.id)
        return json_response({"id": file.id, "object": "file", "deleted": True})

    async def content(self, request: Request) -> Response:
        file = self._found(request)
        return FileResponse(file.path, media_type="application/octet-stream")

    async def list(self, request: Request) -> Response:
        query = request.query_params
        files = list(self._world.files.visible(now=self._world.now(), purpose=query.get("purpose")))
        if query.get("order", "desc") == "desc":
            files.reverse()
        limit = page_size(query.get("limit"), default=MAX_PAGE, most=MAX_PAGE)
        shown, more = page(files, after=query.get("after"), limit=limit)
        return json_response(
            {
                "object": "list",
                "data": [file.as_json() for file in shown],
                "first_id": shown[0].id if shown else None,
                "last_id": shown[-1].id if shown else None,
                "has_more": more,
            }
        )

    def _found(self, request: Request) -> StoredFile:
        file_id = request.path_params["file_id"]
        file = self._world.files.get(file_id, now=self._world.now())
        if file is None:
            raise ApiError(status=404, message=f"No such File object: {file_id}", param="id")
        return file


def _keep(source: BinaryIO, path: Path, filename: str, purpose: str) -> int:
    """Copies an upload to disk and returns its size; a batch file is checked as far as uploads are."""
    source.seek(0)
    if purpose == "batch":
        check_upload(filename, source.readline())
        source.seek(0)
    with path.open("wb") as kept:
        shutil.copyfileobj(source, kept, 1024 * 1024)
        size = kept.tell()
    if size > MAX_UPLOAD_BYTES:
        path.unlink()
        raise ApiError(status=413, message=f"The file is larger than the {MAX_UPLOAD_BYTES} bytes allowed.")
    return size


def _life(form: FormData) -> float | None:
    seconds = form.get("expires_after[seconds]")
    if seconds is None:
        return None
    if form.get("expires_after[anchor]") != "created_at":
        raise bad("Invalid value: 'expires_after.anchor' must be 'created_at'.", "expires_after.anchor")
    text = str(seconds)
    if not text.isdigit() or not MIN_LIFE_SECONDS <= int(text) <= MAX_LIFE_SECONDS:
        message = f"Invalid 'expires_after.seconds': {MIN_LIFE_SECONDS} to {MAX_LIFE_SECONDS}."
        raise bad(message, "expires_after.seconds")
    return float(text)
