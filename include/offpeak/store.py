"""The store: the folder or bucket where a run keeps its files. A file appears whole or not at all.

Any address that fsspec knows: a local path, `s3://bucket/prefix` and so on. Two tasks of one run
need not share a disk, only the store.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from offpeak.errors import SpecError


def is_remote(address: str) -> bool:
    """Whether `address` names something other than a local path."""
    return "://" in address and not address.startswith("file://")


@dataclass(frozen=True)
class Store:
    """`root` is a local path or an fsspec URL. Names given to the methods are relative to it, with `/`."""

    root: str

    def __post_init__(self) -> None:
        if not self.root.strip():
            raise SpecError("The store's address is empty. Give a folder or an s3:// address.")
        if not is_remote(self.root):
            path = Path(self.root.removeprefix("file://")).expanduser().absolute()
            object.__setattr__(self, "root", str(path))

    @property
    def remote(self) -> bool:
        return is_remote(self.root)

    @cached_property
    def _fs(self) -> tuple[Any, str]:
        import fsspec

        fs, path = fsspec.core.url_to_fs(self.root)
        return fs, path

    def address(self, name: str) -> str:
        """The full address of `name`, as a person or another program would use it."""
        return f"{self.root.rstrip('/')}/{name.lstrip('/')}"

    def expand(self, text: str) -> str:
        """`{store}` in a spec's address stands for the store's own root."""
        return text.replace("{store}", self.root.rstrip("/"))

    def default_ledger_url(self) -> str:
        if self.remote:
            raise SpecError(
                f"The store {self.root} is remote, so the ledger cannot be a file inside it. "
                "Set OFFPEAK_LEDGER (or the connection offpeak_ledger) to a Postgres address."
            )
        Path(self.root).mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{self.root}/ledger.sqlite"

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A local path to write; `name` holds it, whole, once the block ends without an error."""
        if self.remote:
            with tempfile.TemporaryDirectory(prefix="offpeak-") as folder:
                local = Path(folder) / Path(name).name
                yield local
                fs, root = self._fs
                fs.put_file(str(local), f"{root}/{name}")
            return
        final = Path(self.root) / name
        final.parent.mkdir(parents=True, exist_ok=True)
        # not mkstemp: the file keeps its mode when it is renamed, and readers must be able to read it
        temporary = final.with_name(f".{final.name}.{secrets.token_hex(6)}.part")
        try:
            yield temporary
            temporary.replace(final)
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """A local path that holds `name`. A remote file is fetched to a temporary one for the block."""
        if not self.remote:
            yield Path(self.root) / name
            return
        with tempfile.TemporaryDirectory(prefix="offpeak-") as folder:
            local = Path(folder) / Path(name).name
            fs, root = self._fs
            fs.get_file(f"{root}/{name}", str(local))
            yield local

    def put(self, local: Path, name: str) -> str:
        """Move a finished local file into the store under `name`; its full address is returned."""
        with self.writing(name) as path:
            shutil.move(local, path)
        return self.address(name)

    def exists(self, name: str) -> bool:
        if not self.remote:
            return (Path(self.root) / name).exists()
        fs, root = self._fs
        fs.invalidate_cache()
        return bool(fs.exists(f"{root}/{name}"))

    def names(self, pattern: str) -> list[str]:
        """The names below the store that match a glob `pattern`, sorted. Unfinished files do not count."""
        if not self.remote:
            base = Path(self.root)
            found = (path.relative_to(base).as_posix() for path in base.glob(pattern) if path.is_file())
            return sorted(name for name in found if not Path(name).name.startswith("."))
        fs, root = self._fs
        fs.invalidate_cache()
        found = fs.glob(f"{root}/{pattern}", detail=True)
        names = (path.removeprefix(root).lstrip("/") for path, at in found.items() if at["type"] == "file")
        return sorted(name for name in names if not Path(name).name.startswith("."))

    def write_bytes(self, name: str, content: bytes) -> str:
        """Write a small file whole; its full address is returned."""
        with self.writing(name) as path:
            path.write_bytes(content)
        return self.address(name)

    def read_bytes(self, name: str) -> bytes:
        with self.reading(name) as path:
            return path.read_bytes()

    def delete(self, name: str) -> None:
        """Remove a file or a folder; nothing happens when it is not there."""
        if self.remote:
            fs, root = self._fs
            fs.invalidate_cache()
            if fs.exists(f"{root}/{name}"):
                fs.rm(f"{root}/{name}", recursive=True)
            return
        path = Path(self.root) / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
