"""When a kept result still holds: one key of the settings, data and code that it was made from."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from bana.files.artefacts import content_hash, known_hash
from bana.files.sources import source_hash


def key_of(make: Callable[..., Any], *inputs: Any) -> str:
    """Hash of all that a result depends on.

    Args:
        make: what makes it. Its module and all that this imports is the code that counts, so that
            no list of modules is kept by hand.
        inputs: what it is made from, see `described`. A function that makes results takes its
            settings as one record and hands that record here, so that no setting can be used and
            left out of the key.

    Raises:
        TypeError: as `described`.
    """
    return content_hash(source_hash(make.__module__), [described(value) for value in inputs])


def described(value: Any) -> Any:
    """A value in terms of JSON.

    Args:
        value: a record of settings, fingerprint of data, key of another result, or a collection
            of such. A path stands for what the file holds: where it lies does not count.

    Raises:
        TypeError: for anything else.
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Path):
        return known_hash(value)
    if is_dataclass(value):
        return {field.name: described(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): described(each) for name, each in value.items()}
    if isinstance(value, Set):
        return sorted(described(each) for each in value)
    if isinstance(value, Sequence):
        return [described(each) for each in value]
    raise TypeError(f"{value!r} of {type(value).__name__} cannot be part of a key")
