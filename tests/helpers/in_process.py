"""Labelling without the seconds that a new process takes to start."""

import pytest

from bana.experiment import labelling
from bana.experiment.labelling import Crew, LabelJob


def make_label_files(job: LabelJob, batches: list[list[int]], crew: Crew) -> dict[str, str]:
    """As `bana.experiment.labelling.make_label_files`, in this process."""
    failures: dict[str, str] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labelling, "_job", job)
        for batch in batches:
            failures |= labelling._label_batch(batch)
    return failures
