"""Fetching of archives: checksums, progress, retries, and broken downloads that go on.

torchvision's `download_url` writes straight to the archive's place, waits for ever on a silent
server, begins again at the first byte after every failure and falls back to plain http. Addresses
and checksums are torchvision's where it has them, and so is checking; the transfer is ours, and so
is unpacking, since torchvision's follows a name wherever it leads.
"""

import contextlib
import http.client
import os
import shutil
import ssl
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path, PurePath
from typing import NamedTuple

from torchvision.datasets.utils import calculate_md5
from tqdm import tqdm

from bana.data.voc_files import DataError
from bana.files.alone import alone_in
from bana.files.unfinished import move

# Seconds to wait before the second, third, ... attempt. An attempt that brought something counts
# as the first again.
WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)
TIMEOUT = 60.0
CHUNK = 1 << 20
UNPACKED = ".unpacked"
BROKEN = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)


class Archive(NamedTuple):
    """A file to fetch.

    Attributes:
        url: where it is.
        filename: what it is called here.
        md5: its checksum.
        megabytes: its approximate size, for messages.
    """

    url: str
    filename: str
    md5: str
    megabytes: int


def fetch(archive: Archive, folder: Path) -> Path:
    """Bring an archive into a folder, unless it is there already.

    What arrives is kept as `<filename>.part` and continued by the next attempt or the next call. A
    complete file with a wrong checksum is fetched once more from its first byte.

    Args:
        archive: what to fetch.
        folder: where to; created where it is missing.

    Returns:
        The archive's path; its checksum is right.

    Raises:
        DataError: when it cannot be had; the message says what to fetch by hand.
    """
    with alone_in(folder):
        return _fetched(archive, folder)


def _fetched(archive: Archive, folder: Path) -> Path:
    path = folder / archive.filename
    if path.is_file():
        if calculate_md5(path) == archive.md5:
            return path
        raise DataError(
            f"{path}: there, but not the file of {archive.url} (md5 is not {archive.md5}): "
            "remove it, or add .part to its name where it is the beginning of that file, and run "
            "the same command again"
        )
    part = path.with_name(f"{path.name}.part")
    resumed = part.exists()
    if not resumed or calculate_md5(part) != archive.md5:
        _receive_all(archive, part)
    found = calculate_md5(part)
    if found != archive.md5 and resumed:
        # The file on the server may have changed between the two halves.
        part.unlink()
        _receive_all(archive, part)
        found = calculate_md5(part)
    if found != archive.md5:
        part.unlink()
        raise _by_hand(archive, path, f"what arrives has md5 {found}")
    move(part, path)
    return path


def install(archive: Archive, folder: Path, inside: str = "") -> None:
    """Fetch an archive and unpack it in the same folder, unless that was done already.

    It is unpacked beside its place first and moved there file by file, so that every file that is
    there is whole; an interrupted unpacking begins anew. Afterwards the archive may be removed.

    Args:
        archive: .tar, .tgz or .zip.
        folder: where to; what else is there stays.
        inside: folder in the archive whose content is wanted, all of it when empty.

    Raises:
        DataError: when the archive cannot be had, or has no such folder.
    """
    with alone_in(folder):
        _install(archive, folder, inside)


def _install(archive: Archive, folder: Path, inside: str) -> None:
    done = folder / UNPACKED / archive.filename
    if done.exists():
        return
    path = fetch(archive, folder)
    print(f"unpacking {archive.filename}")
    begun = folder / f".{archive.filename}.tmp"
    shutil.rmtree(begun, ignore_errors=True)
    try:
        _unpack(path, begun)
        source = begun / inside
        if not source.is_dir():
            raise DataError(f"{path}: has no folder {inside}")
        _merge(source, folder)
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    done.parent.mkdir(exist_ok=True)
    done.touch()


def _unpack(path: Path, folder: Path) -> None:
    """Unpack an archive, whose names and links may not lead out of the folder.

    Raises:
        DataError: if one does, or the archive is damaged.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as opened:
                for name in opened.namelist():
                    if ".." in PurePath(name).parts or PurePath(name).root:
                        raise DataError(f"{path}: {name!r} leads out of the folder: not unpacked")
                opened.extractall(folder)
        else:
            with tarfile.open(path) as opened:
                opened.extractall(folder, filter="data")
    except tarfile.FilterError as error:
        raise DataError(f"{path}: {error}: not unpacked") from error
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be unpacked ({error}): remove it") from error


def _merge(source: Path, folder: Path) -> None:
    for parent, _, names in os.walk(source):
        target = folder / Path(parent).relative_to(source)
        target.mkdir(parents=True, exist_ok=True)
        for name in names:
            move(Path(parent, name), target / name)


def _receive_all(archive: Archive, part: Path) -> None:
    """Attempt until the file is complete, going on where the last attempt ended."""
    failures, most = 0, _length(part)
    while True:
        try:
            _receive(archive, part)
            return
        except urllib.error.HTTPError as error:
            # 416: what is here is no part of the file there. Otherwise the server may recover
            # from its own faults (5xx) and from haste (408, 429), but not from a wrong address.
            if error.code == 416:
                part.unlink(missing_ok=True)
                most = 0
            elif error.code < 500 and error.code not in (408, 429):
                raise _by_hand(archive, part.with_suffix(""), str(error)) from error
            reason: Exception = error
        except BROKEN as error:
            reason = error
        failures = 0 if _length(part) > most else failures + 1
        most = max(most, _length(part))
        if failures > len(WAITS):
            raise _by_hand(archive, part.with_suffix(""), _text(reason)) from reason
        wait = WAITS[max(failures - 1, 0)]
        print(f"{archive.filename}: {_text(reason)}; once more in {wait:g} s")
        time.sleep(wait)


def _receive(archive: Archive, part: Path) -> None:
    """One attempt: append to what is there, or begin anew where the server cannot go on."""
    start = _length(part)
    request = urllib.request.Request(archive.url, headers={"User-Agent": "bana"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    with contextlib.closing(urllib.request.urlopen(request, timeout=TIMEOUT)) as response:
        if response.status != 206:
            start = 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        _check_space(archive, part, (total or archive.megabytes * 10**6) - start)
        bar = tqdm(
            desc=archive.filename,
            initial=start,
            total=total,
            unit="B",
            unit_scale=True,
            leave=False,
        )
        with bar, part.open("ab" if start else "wb") as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and _length(part) < total:
        raise ConnectionError(f"broken off after {_length(part)} of {total} bytes")


def _check_space(archive: Archive, part: Path, wanted: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < wanted:
        raise DataError(
            f"{part.parent}: {archive.filename} needs {wanted / 1e9:.1f} GB more, and "
            f"{free / 1e9:.1f} GB are free: make room, or name a folder on another disk"
        )


def _by_hand(archive: Archive, path: Path, reason: str) -> DataError:
    return DataError(
        f"{archive.filename} cannot be downloaded ({reason}): fetch {archive.url} "
        f"({archive.megabytes} MB, md5 {archive.md5}) elsewhere, put it to {path}, and run the "
        "same command again"
    )


def _text(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error) or type(error).__name__


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
