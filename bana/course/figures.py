"""Figures on disk: PNG and SVG, the same bytes on every run, and a note of their origin."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from bana.experiment.profiles import get_profile
from bana.files.artefacts import source_commit
from bana.files.paths import figures_dir

MAX_BYTES = 1_000_000
PNG_DPI = (150, 110, 80, 60)
SVG_DPI = (110, 80, 60, 40)


def fingerprint(path: Path) -> str:
    """First 12 hexadecimal digits of the SHA-256 of a file, or of a folder's names and files.

    Args:
        path: a file or a folder.

    Returns:
        12 characters.

    Raises:
        FileNotFoundError: there is no such file or folder.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is an input of a figure and does not exist")
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        if path.is_dir():
            digest.update(file.relative_to(path).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _write_below_limit(
    fig: Figure, path: Path, dpis: Sequence[int], metadata: dict[str, str | None]
) -> None:
    """Save at the highest of the resolutions that keeps the file small enough for git."""
    for dpi in dpis:
        with matplotlib.rc_context({"svg.hashsalt": "bana"}):
            fig.savefig(path, dpi=dpi, metadata=metadata, bbox_inches="tight")
        if path.stat().st_size < MAX_BYTES:
            return
    path.unlink()
    raise ValueError(f"{path.name} passes {MAX_BYTES} bytes even at {dpis[-1]} dpi: split it")


def save_figure(
    fig: Figure,
    name: str,
    alt: str,
    profile: str,
    inputs: Sequence[Path | str],
    command: str,
) -> Path:
    """Write `<name>.png`, `<name>.svg` and the note `<name>.json` into the profile's figures.

    The note holds alt text, profile, seed, commit, inputs and command. Its commit is the one at
    which the picture became what it is: a rerun that draws the same picture from the same inputs
    leaves the note as it was. The figure stays open.

    Args:
        fig: the figure.
        name: file name without ending, letters, digits, `-` and `_`.
        alt: what a reader who cannot see it should know; never empty.
        profile: name of the profile it was drawn with.
        inputs: files and folders (`Path`, recorded by name and content) and plain statements
            of other origins (`str`, recorded as they are).
        command: the command that makes the figure again.

    Returns:
        Path of the PNG.

    Raises:
        ValueError: bad name, empty alt or command, unknown profile, or a file of 1 MB or more
            at the lowest resolution.
        FileNotFoundError: an input does not exist.
    """
    if not name or not name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"figure name {name!r} may hold letters, digits, - and _ only")
    if not alt.strip() or not command.strip():
        raise ValueError(f"figure {name}: alt and command must not be empty")
    alt = " ".join(alt.split())
    folder = figures_dir(profile)
    note: dict[str, object] = {
        "alt": alt,
        "profile": profile,
        "seed": get_profile(profile).seed,
        "inputs": [
            {"name": i.name, "sha256": fingerprint(i)} if isinstance(i, Path) else {"name": i}
            for i in inputs
        ],
        "command": command,
    }
    folder.mkdir(parents=True, exist_ok=True)
    png, svg, sidecar = (folder / f"{name}.{ending}" for ending in ("png", "svg", "json"))
    before = png.read_bytes() if png.is_file() else b""
    _write_below_limit(fig, png, PNG_DPI, {"Software": None})
    _write_below_limit(fig, svg, SVG_DPI, {"Date": None, "Creator": None, "Title": alt})
    old = json.loads(sidecar.read_text(encoding="utf-8")) if sidecar.is_file() else {}
    same = before == png.read_bytes() and {**old, "commit": ""} == {**note, "commit": ""}
    note["commit"] = old["commit"] if same and "commit" in old else source_commit()
    text = json.dumps(note, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    sidecar.write_text(text, encoding="utf-8", newline="\n")
    return png
