"""Where things lie: every path of the project is made here, absolute and on every system.

What a run writes lies in the folder of all runs, which `BANA_RUNS` moves; the clone itself is
written to by commands that publish, record or are given a place. `BANA_WEIGHTS` names a folder of
weights, see `bana.networks.backbones`.
"""

import os
from pathlib import Path


def repo_root() -> Path:
    """Folder of the clone, the one that holds `pyproject.toml` and `notebooks/`.

    Returns:
        An absolute path, whatever the working folder.

    Raises:
        FileNotFoundError: the package was not installed from a clone in editable mode.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").is_file():
        raise FileNotFoundError(
            f"{root} is not a clone of the repository: install with `pip install -e .` from one"
        )
    return root


def _from_environment(variable: str) -> Path | None:
    value = os.environ.get(variable, "").strip()
    return Path(value).expanduser().resolve() if value else None


def runs_root() -> Path:
    """Folder of all runs: `BANA_RUNS` where it is set, else `runs/` of the clone.

    Returns:
        An absolute path; the folder need not exist yet.
    """
    return _from_environment("BANA_RUNS") or repo_root() / "runs"


def run_dir(profile_name: str) -> Path:
    """Folder of one profile's run: data, checkpoints, labels, executed notebooks.

    Args:
        profile_name: name of a profile, one plain word such as `sample`.

    Returns:
        An absolute path; the folder need not exist yet.

    Raises:
        ValueError: the name is empty or is not a plain folder name.
    """
    if not profile_name or Path(profile_name).name != profile_name or profile_name == "..":
        raise ValueError(f"profile name {profile_name!r} is not a plain folder name")
    return runs_root() / profile_name


def figures_dir(profile_name: str) -> Path:
    """Folder of the figures and tables of a profile's run, inside the run's own folder.

    Args:
        profile_name: name of a profile.

    Returns:
        An absolute path; the folder need not exist yet.

    Raises:
        ValueError: the name is empty or is not a plain folder name.
    """
    return run_dir(profile_name) / "figures"


def gallery_dir() -> Path:
    """Folder of the published figures, `figures/` of the clone; `bana publish` alone writes it."""
    return repo_root() / "figures"


def weights_dir() -> Path | None:
    """Folder of weights files that `BANA_WEIGHTS` names; None where it is not set.

    Returns:
        An absolute path.

    Raises:
        FileNotFoundError: the variable names no folder.
    """
    folder = _from_environment("BANA_WEIGHTS")
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(f"BANA_WEIGHTS={folder} is not a folder: make it, or unset it")
    return folder


def notebooks_dir() -> Path:
    """Folder of the course's notebooks, `notebooks/` of the clone."""
    return repo_root() / "notebooks"


def docs_dir() -> Path:
    """Folder of the pages, `docs/` of the clone."""
    return repo_root() / "docs"


def results_dir() -> Path:
    """Folder of the small JSON records of measured runs, `results/` of the clone."""
    return repo_root() / "results"
