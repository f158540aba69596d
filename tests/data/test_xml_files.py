"""XML files: what is in them is read, and nothing else is."""

from pathlib import Path

import pytest

from bana.commands.main import main
from bana.data.checks import DataError
from bana.data.xml_files import first_tag, read_xml

PAIRS = zip("abcdefgh", "bcdefghi", strict=True)
GROWING = "".join(f'<!ENTITY {many} "' + 10 * f"&{few};" + '">' for few, many in PAIRS)
LAUGHS = (
    f'<!DOCTYPE annotation [<!ENTITY a "ha">{GROWING}]>'
    "<annotation><filename>&i;</filename></annotation>"
)
OUTSIDE = (
    '<!DOCTYPE annotation [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation>&a;</annotation>'
)
PARAMETER = (
    '<!DOCTYPE annotation [<!ENTITY % a SYSTEM "http://localhost:9/a.dtd"> %a;]><annotation/>'
)


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "a.xml"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("text", [LAUGHS, OUTSIDE, PARAMETER], ids=["laughs", "file", "address"])
def test_entities_are_refused(text: str, encoding: str, tmp_path: Path) -> None:
    path = written(tmp_path, text, encoding)
    for read in (read_xml, first_tag):
        with pytest.raises(DataError, match=r"a\.xml: declares the entity '[ab]'") as caught:
            read(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["voc", "cvat"])
@pytest.mark.parametrize("command", ["import", "masks"])
def test_no_command_reads_them(command: str, kind: str, tmp_path: Path, capsys) -> None:
    path = written(tmp_path, LAUGHS)
    (tmp_path / "im").mkdir()
    words = ["--boxes", str(path), "--format", kind, "--out", str(tmp_path / "out")]
    images = str(tmp_path / "im")
    first = ["data", "import", "--images", images] if command == "import" else ["masks", images]
    assert main([*first, *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"bana: {path}: declares the entity 'a'")
    assert not (tmp_path / "out").exists()


def test_a_declared_kind_of_document_is_no_entity(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '<?xml version="1.0"?>\n<!DOCTYPE annotation SYSTEM "voc.dtd">\n<!-- by hand -->'
        "<annotation><name>cats &amp; dogs</name></annotation>",
    )
    assert read_xml(path).findtext("name") == "cats & dogs"
    assert first_tag(path) == "annotation"


def test_what_is_no_xml_is_told(tmp_path: Path) -> None:
    for text in ("", "text", "<annotation>", '<?xml version="1.0" encoding="klingon"?><a/>'):
        with pytest.raises(DataError, match=r"a\.xml: not well-formed XML"):
            read_xml(written(tmp_path, text))
    with pytest.raises(DataError, match=r"b\.xml: no such file"):
        read_xml(tmp_path / "b.xml")


def test_a_first_element_far_down(tmp_path: Path) -> None:
    text = f"<!-- {'x' * 200_000} --><annotations><image/></annotations>"
    assert first_tag(written(tmp_path, text)) == "annotations"
