"""The scripts in tools/, which are in no package."""

import importlib.util
from types import ModuleType

from bana.files.paths import repo_root


def load_tool(name: str) -> ModuleType:
    """The script tools/<name>.py as a module."""
    spec = importlib.util.spec_from_file_location(name, repo_root() / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
