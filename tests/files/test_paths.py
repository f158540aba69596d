"""Where things lie does not depend on where one stands."""

import pytest

from bana.files import paths

REPO = paths.repo_root()


def test_paths_do_not_depend_on_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("BANA_RUNS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert paths.run_dir("smoke") == REPO / "runs" / "smoke"
    assert paths.gallery_dir() == REPO / "figures"
    assert paths.figures_dir("smoke") == REPO / "runs" / "smoke" / "figures"
    monkeypatch.setenv("BANA_RUNS", "elsewhere")
    assert paths.run_dir("smoke") == tmp_path / "elsewhere" / "smoke"
    assert paths.figures_dir("smoke") == tmp_path / "elsewhere" / "smoke" / "figures"


@pytest.mark.parametrize("name", ["", "..", "a/b", "."])
def test_a_profile_name_is_one_folder(name):
    with pytest.raises(ValueError, match="plain folder name"):
        paths.run_dir(name)
