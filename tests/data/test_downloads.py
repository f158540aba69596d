"""Downloads that break, go on, are wrong, or cannot be had; archives unpacked whole."""

import hashlib
import io
import socket
import tarfile
import zipfile
from pathlib import Path

import pytest
from servers import FlakyServer, flaky_server

from bana.data import downloads
from bana.data.downloads import Archive, fetch, install
from bana.data.voc_files import DataError

CONTENT = bytes(range(256)) * 40


def tar(files: dict[str, bytes], mode: str = "w") -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode=mode) as made:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return memory.getvalue()


@pytest.fixture
def server():
    with flaky_server() as running:
        yield running


@pytest.fixture(autouse=True)
def waits(monkeypatch) -> list[float]:
    """Nobody waits in the tests; the list holds how long one would have."""
    waited: list[float] = []
    monkeypatch.setattr(downloads.time, "sleep", waited.append)
    return waited


def failure(archive: Archive, folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        fetch(archive, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_fetched_once(server: FlakyServer, tmp_path, waits):
    archive = server.offer("a.tar", CONTENT)
    path = fetch(archive, tmp_path / "new" / "folder")
    assert path.read_bytes() == CONTENT
    assert fetch(archive, path.parent) == path
    assert server.requests == [("a.tar", None)]
    assert [file.name for file in path.parent.iterdir()] == ["a.tar"]
    assert waits == []


def test_broken_transfer_goes_on_where_it_ended(server, tmp_path, waits):
    archive = server.offer("a.tar", CONTENT)
    server.faults = ["cut", "cut"]
    assert fetch(archive, tmp_path).read_bytes() == CONTENT
    half, rest = len(CONTENT) // 2, len(CONTENT) * 3 // 4
    ranges = [None, f"bytes={half}-", f"bytes={rest}-"]
    assert [asked for _, asked in server.requests] == ranges
    # Each attempt brought something, so that none counts as a second failure in a row.
    assert waits == [1, 1]


def test_interrupted_command_goes_on(server, tmp_path):
    archive = server.offer("a.tar", CONTENT)
    (tmp_path / "a.tar.part").write_bytes(CONTENT[:100])
    assert fetch(archive, tmp_path).read_bytes() == CONTENT
    assert server.requests == [("a.tar", "bytes=100-")]
    (tmp_path / "a.tar").rename(tmp_path / "a.tar.part")
    assert fetch(archive, tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 1, "a complete part needs no request"


def test_server_that_cannot_go_on_begins_anew(server, tmp_path):
    archive = server.offer("a.tar", CONTENT)
    server.faults = ["cut", "whole"]
    assert fetch(archive, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("rubbish", [b"x" * 100, b"x" * (len(CONTENT) + 5)])
def test_wrong_beginning_is_thrown_away(server, tmp_path, rubbish):
    archive = server.offer("a.tar", CONTENT)
    (tmp_path / "a.tar.part").write_bytes(rubbish)
    assert fetch(archive, tmp_path).read_bytes() == CONTENT


def test_a_part_that_is_too_long_does_not_count_against_what_follows(server, tmp_path):
    archive = server.offer("a.tar", CONTENT)
    (tmp_path / "a.tar.part").write_bytes(b"x" * 2 * len(CONTENT))
    # The first answer is the 416 to the false part; what comes after it is cut nine times.
    server.faults = ["", *["cut"] * 9]
    assert fetch(archive, tmp_path).read_bytes() == CONTENT


def test_errors_of_the_server_are_waited_out(server, tmp_path, waits, capsys):
    archive = server.offer("a.tar", CONTENT)
    server.faults = [503, 500, 429]
    assert fetch(archive, tmp_path).read_bytes() == CONTENT
    assert waits == [1, 2, 4]
    assert "a.tar: Service Unavailable; once more in 1 s" in capsys.readouterr().out


def test_after_six_attempts_it_says_what_to_fetch_by_hand(server, tmp_path, waits):
    archive = server.offer("a.tar", CONTENT)
    server.faults = [503] * 20
    message = failure(archive, tmp_path)
    assert len(server.requests) == 6 and waits == list(downloads.WAITS)
    for part in (archive.url, archive.md5, str(tmp_path / "a.tar"), "run the same command again"):
        assert part in message


def test_wrong_address_is_not_tried_again(server, tmp_path, waits):
    archive = server.offer("a.tar", CONTENT)
    del server.files["a.tar"]
    assert "404" in failure(archive, tmp_path)
    assert len(server.requests) == 1 and waits == []


def test_offline(tmp_path, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "create_connection", unknown)
    archive = Archive("http://voc.invalid/a.tar", "a.tar", "0" * 32, 2_000)
    message = failure(archive, tmp_path)
    assert "Name or service not known" in message
    assert f"fetch {archive.url} (2000 MB" in message and str(tmp_path / "a.tar") in message
    # What was fetched by hand is taken.
    (tmp_path / "a.tar").write_bytes(CONTENT)
    by_hand = archive._replace(md5=hashlib.md5(CONTENT).hexdigest())
    assert fetch(by_hand, tmp_path).read_bytes() == CONTENT


def test_wrong_checksum(server, tmp_path):
    archive = server.offer("a.tar", CONTENT)._replace(md5="0" * 32)
    message = failure(archive, tmp_path)
    assert hashlib.md5(CONTENT).hexdigest() in message and "0" * 32 in message
    assert list(tmp_path.iterdir()) == []


def test_wrong_file_in_the_place_is_not_touched(server, tmp_path):
    archive = server.offer("a.tar", CONTENT)
    (tmp_path / "a.tar").write_bytes(b"mine")
    assert "add .part to its name" in failure(archive, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == b"mine"
    assert server.requests == []


def test_full_disk_is_told_before_anything_is_written(server, tmp_path, monkeypatch):
    archive = server.offer("a.tar", CONTENT)
    usage = type("Usage", (), {"free": len(CONTENT) - 1})
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: usage)
    assert "make room" in failure(archive, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_local_address(tmp_path):
    source = tmp_path / "there.tar"
    source.write_bytes(CONTENT)
    archive = Archive(source.as_uri(), "a.tar", hashlib.md5(CONTENT).hexdigest(), 1)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.tar.part").write_bytes(b"x")
    assert fetch(archive, tmp_path / "here").read_bytes() == CONTENT


@pytest.mark.parametrize("ending", ["tar", "tgz", "zip"])
def test_install(server, tmp_path, ending):
    files = {"top/in/a.txt": b"a", "top/in/deep/b.txt": b"b", "top/c.txt": b"c"}
    if ending == "zip":
        memory = io.BytesIO()
        with zipfile.ZipFile(memory, "w") as made:
            for name, content in files.items():
                made.writestr(name, content)
        content = memory.getvalue()
    else:
        content = tar(files, "w:gz" if ending == "tgz" else "w")
    archive = server.offer(f"a.{ending}", content)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "own.txt").write_text("mine")
    install(archive, tmp_path, "top/in")
    assert (tmp_path / "a.txt").read_text() == "a"
    assert sorted(file.name for file in (tmp_path / "deep").iterdir()) == ["b.txt", "own.txt"]
    assert not (tmp_path / "c.txt").exists()
    (tmp_path / archive.filename).unlink()
    install(archive, tmp_path, "top/in")
    assert len(server.requests) == 1, "what is unpacked needs its archive no more"
    with pytest.raises(DataError, match="has no folder top/out"):
        install(archive, tmp_path / "other", "top/out")


def link(name: str, target: str) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as made:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = tarfile.SYMTYPE, target
        made.addfile(member)
    return memory.getvalue()


def packed(name: str) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as made:
        made.writestr(name, b"a")
    return memory.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tar", tar({"../../evil.txt": b"a"})),
        ("a.tgz", tar({"a.txt": b"a", "../evil.txt": b"a"}, "w:gz")),
        ("a.tar", link("etc", "../../..")),
        ("a.tar", link("etc", "/etc")),
        ("a.zip", packed("../evil.txt")),
        ("a.zip", packed("/evil.txt")),
    ],
    ids=["tar", "tgz", "link", "absolute-link", "zip", "absolute-zip"],
)
def test_archives_that_lead_outside_are_refused(server, tmp_path, name: str, content: bytes):
    archive, folder = server.offer(name, content), tmp_path / "deep" / "folder"
    with pytest.raises(DataError, match="not unpacked") as caught:
        install(archive, folder)
    assert str(folder / name) in str(caught.value) and "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.rglob("*") if not path.is_dir()] == [name]
    assert not list(tmp_path.rglob("evil.txt"))


@pytest.mark.parametrize("name", ["a.tar", "a.tgz", "a.zip"])
def test_a_damaged_archive_is_told(server, tmp_path, name: str):
    whole = packed("a.txt") if name == "a.zip" else tar({"a": CONTENT}, "w:gz")
    archive = server.offer(name, whole[: len(whole) // 2] if name != "a.tar" else b"no archive")
    with pytest.raises(DataError, match=f"{name}: cannot be unpacked"):
        install(archive, tmp_path)


def test_interrupted_unpacking_begins_anew(server, tmp_path, monkeypatch):
    archive = server.offer("a.tar", tar({"a.txt": b"a", "b.txt": b"b"}))

    def half(path: str, folder: str) -> None:
        Path(folder).mkdir()
        Path(folder, "a.txt").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(downloads, "_unpack", half)
        with pytest.raises(KeyboardInterrupt):
            install(archive, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.tar"]
    install(archive, tmp_path)
    assert (tmp_path / "a.txt").read_bytes() == b"a" and (tmp_path / "b.txt").read_bytes() == b"b"
    assert len(server.requests) == 1
