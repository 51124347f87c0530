"""Addresses and globs: which files a source reads, on the local disk or wherever fsspec reaches."""

from __future__ import annotations

import glob
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import IO, Any

from offpeak.errors import InputError, SpecError
from offpeak.rows.source import Measured
from offpeak.store import Store, is_remote

NOTHING_SENT = "Nothing was sent for this run."

_GLOB = re.compile(r"[*?\[]")
_LOGIN = re.compile(r"(?<=://)[^/@]*@")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One file to read. `address` may be shown to people: it holds no login."""

    address: str
    path: str
    fs: Any = field(default=None, repr=False)
    """The fsspec file system, None for the local disk."""

    def measured(self) -> Measured:
        """Its size and version; InputError when nobody can say."""
        try:
            if self.fs is not None:
                return Measured(max(1, self.fs.size(self.path) or 1), str(self.fs.ukey(self.path)))
            found = Path(self.path).stat()
        except OSError as error:
            raise unreadable(self.address, error) from error
        return Measured(max(1, found.st_size), f"{found.st_size} {found.st_mtime_ns} {found.st_ino}")

    def open(self) -> IO[bytes]:
        """Open for reading; InputError when that fails."""
        try:
            return Path(self.path).open("rb") if self.fs is None else self.fs.open(self.path, "rb")
        except OSError as error:
            raise unreadable(self.address, error) from error

    @contextmanager
    def local(self) -> Iterator[Path]:
        """A local path with the same content; a remote file is copied to a temporary one for the block."""
        if self.fs is None:
            yield Path(self.path)
            return
        with tempfile.TemporaryDirectory(prefix="offpeak-") as folder:
            copy = Path(folder) / "rows"
            with self.open() as source, copy.open("wb") as target:
                try:
                    shutil.copyfileobj(source, target, 1 << 20)
                except OSError as error:
                    raise unreadable(self.address, error) from error
            yield copy


def unreadable(address: str, error: BaseException) -> InputError:
    """The error for a file that is there but cannot be read."""
    sentence = (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip(" .\n")
    return InputError(
        f"{address} cannot be read: {without_login(sentence)}. {NOTHING_SENT} "
        "Repair the file, or leave it out of the address, and run again."
    )


def without_login(address: str) -> str:
    """`address` as it may be shown: the part before an @ in a URL's host is left out."""
    return _LOGIN.sub("", address)


def checked_addresses(kind: str, address: str | Sequence[str], key: str) -> tuple[str, ...]:
    """The addresses of a spec as a tuple; SpecError for one that is empty, or for an empty key."""
    addresses = (address,) if isinstance(address, str) else tuple(address)
    if not addresses or not all(isinstance(one, str) and one.strip() for one in addresses):
        raise SpecError(
            f'{kind}() needs the address of a file, e.g. {kind}("{{store}}/in/*.{kind}", key="id").'
        )
    if not isinstance(key, str) or not key:
        raise SpecError(
            f"{kind}({without_login(addresses[0])!r}) needs key=: the column whose value names a row, "
            "the same from run to run."
        )
    return addresses


def expanded_address(address: str, store: Store, interval_key: str) -> str:
    """The address of a spec with what `{store}` and `{interval}` stand for."""
    return store.expand(address).replace("{interval}", interval_key)


def find_files(addresses: Sequence[str], store: Store, interval_key: str = "") -> list[SourceFile]:
    """The files of every address, each file once: in the order of the addresses, by name within one.

    `{store}` stands for the store's root, `{interval}` for the name of the run's interval.

    A name that exists as it is written is that file, even if it holds `*` or `[`. InputError when an
    address matches no file, is a folder, or cannot be listed.
    """
    found: dict[str, SourceFile] = {}
    for address in addresses:
        expanded = expanded_address(address, store, interval_key)
        files = _remote_files(expanded) if is_remote(expanded) else _local_files(expanded)
        found.update((file.address, file) for file in files)
    return list(found.values())


def _local_files(address: str) -> list[SourceFile]:
    pattern = Path(address.removeprefix("file://")).expanduser().absolute()
    if pattern.is_dir():
        raise _is_folder(str(pattern))
    names = [str(pattern)] if pattern.exists() else glob.glob(str(pattern), recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
    paths = sorted(name for name in names if Path(name).is_file())
    if not paths:
        folder = next(parent for parent in pattern.parents if parent.is_dir())
        try:
            entries = [entry.name for entry in folder.iterdir()]
        except OSError as error:
            raise unreadable(str(folder), error) from error
        raise _no_match(str(pattern), str(folder), entries)
    return [SourceFile(address=path, path=path) for path in paths]


def _remote_files(address: str) -> list[SourceFile]:
    shown = without_login(address)
    try:
        import fsspec

        fs, pattern = fsspec.core.url_to_fs(address)
        fs.invalidate_cache()
        if not _GLOB.search(pattern) and fs.isdir(pattern):
            raise _is_folder(shown)
        names = [pattern] if fs.isfile(pattern) else fs.glob(pattern)
        paths = sorted(str(name) for name in names if fs.isfile(name))
        if not paths:
            folder = str(PurePosixPath(_GLOB.split(pattern)[0] + "x").parent)
            entries = (
                [PurePosixPath(name).name for name in fs.ls(folder, detail=False)]
                if fs.exists(folder)
                else []
            )
            raise _no_match(shown, without_login(str(fs.unstrip_protocol(folder))), entries)
    except InputError:
        raise
    except Exception as error:  # each cloud's SDK raises classes of its own
        cure = (
            f"Install what fsspec needs for it ({error})."
            if isinstance(error, ImportError)
            else ("Check the address and the credentials in this environment.")
        )
        sentence = without_login(str(error)) or type(error).__name__
        raise InputError(f"{shown} cannot be listed: {sentence}. {NOTHING_SENT} {cure}") from error
    return [
        SourceFile(address=without_login(str(fs.unstrip_protocol(path))), path=path, fs=fs) for path in paths
    ]


def _is_folder(address: str) -> InputError:
    return InputError(
        f"{address} is a folder, not a file. {NOTHING_SENT} Name its files, e.g. {address}/*.parquet"
    )


def _no_match(pattern: str, folder: str, entries: list[str]) -> InputError:
    wanted = pattern.removeprefix(folder).lstrip("/")
    near = get_close_matches(wanted, entries, n=5, cutoff=0.4) or sorted(entries)[:5]
    holds = f"holds {', '.join(near)}{' ...' if len(entries) > len(near) else ''}" if near else "is empty"
    return InputError(
        f"No file matches {pattern}. {NOTHING_SENT} The folder {folder} {holds}. "
        "Correct the address, or bring the files before the run."
    )
