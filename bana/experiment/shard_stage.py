"""Labels of tar shards by the classifier of a profile: a stage that keeps nothing in its run."""

from pathlib import Path

from bana.data.shard_index import INDEX, read_index
from bana.data.voc import DataError
from bana.experiment import shards, stages
from bana.experiment.labelling import VARIANTS, Crew, check_devices
from bana.experiment.profiles import Profile
from bana.experiment.shard_labels import Labelled, label_shards


def label_photographs(
    profile: Profile,
    variant: str,
    root: str | Path | None,
    source: Path,
    out: Path,
    crew: Crew,
    part: tuple[int, int] = (1, 1),
) -> Labelled:
    """Label tar shards as `bana.experiment.stages.labels` labels a folder, to the last bit.

    That holds with batches of one image. In larger ones an image has other company than in a
    folder, and sums may round differently.

    Args:
        profile: settings.
        variant: a key of `bana.experiment.labelling.VARIANTS` with a classifier.
        root: the data that the classifier learned from, see `bana.experiment.stages.data_root`.
        source, out, crew, part: see `bana.experiment.shard_labels.label_shards`.

    Raises:
        DataError: when the classes of the shards are not those that the classifier learned, or as
            `label_shards`.
        ValueError: when the variant has no classifier, one of several parts would train it, or as
            `label_shards`.
    """
    check_devices(crew)
    settings, recipe = stages.label_settings_of(profile, variant), VARIANTS[variant]
    if recipe is None:
        known = ", ".join(name for name, each in VARIANTS.items() if each)
        raise ValueError(f"labels {variant!r} are not made by a classifier: of shards use {known}")
    pooling, learned = recipe[0], stages.dataset(profile, "train", root).classes
    if read_index(source, "photographs").classes != learned:
        raise DataError(
            f"{source / INDEX}: its classes are not the {len(learned) - 1} that the classifier of "
            f"profile {profile.name} learned: pack a data set of those"
        )
    if part[1] > 1:
        shards.check_classifier(profile, variant, root)
    return label_shards(
        source,
        out,
        settings,
        stages.labels_key(profile, variant, root),
        lambda: stages.classifier(profile, pooling, root),
        crew,
        part,
    )
