"""Every setting of an experiment as plain typed records, one profile per use."""

from dataclasses import dataclass, field, replace

from bana.baselines import INSIDE
from bana.crf.dense import DEEPLAB_V1_CRF, DEEPLAB_V2_CRF, LABEL_CRF, CrfParameters
from bana.labels import UnaryOptions
from bana.training.optimisation import Optimisation


@dataclass(frozen=True)
class Profile:
    """One experiment from data to figures.

    Attributes:
        name: name of the profile; its artefacts live in runs/<name>/.
        data: "sample" (drawn from the seed) or "voc" (a folder in VOC layout).
        seed: of every random choice.
        backbone, output_stride, frozen_stages, frozen_statistics: see
            `bana.networks.backbones.build_backbone`.
        segmenter_backbone: that of the segmenter where it is another one than the classifier's.
        from_classifier: the segmenter starts from the backbone that the box classifier has trained,
            not from ImageNet's as in the paper.
        neck: see `bana.networks.segmenter.build_neck`.
        weights: file or folder of ImageNet weights, see `bana.networks.weights.find_weights`. What
            the file holds counts as a setting, where it lies does not.
        train_splits: names of the split to train on; the first that the data set has is taken.
        strong_split: split whose true masks stand in for the pseudo labels of its images when the
            segmenter is trained (the paper's semi-supervised setting); None uses none.
        image_scale: images are enlarged by this before the network sees them.
        crop: side of a training crop in network pixels, a multiple of the stride plus 1.
        crop_scale: range of the random scale of a training crop.
        classifier, segmentation: the two trainings.
        classifier_drop: fraction of the classifier's iterations after which its rate falls to a
            tenth (the authors: 5,000 of 8,000).
        grid_size, parts: of the pooling in training, see `bana.networks.classifier.BoxClassifier`;
            labels have a grid of their own, which ``unary`` holds.
        unary, label_crf: how pseudo labels are made; the CRF is also that of "boxes-crf" and
            "boxes-middle".
        box_inside: what "boxes-crf" gives the class of a box, see `bana.baselines.box_unary`.
        test_crf: CRF on the segmenter's prediction.
        gamma, lam: of the noise-aware loss, Eq. 12 and 14; lambda is also that of the other losses
            that treat ~S apart.
        losses: trainings of the segmenter, see `bana.training.segmentation.LOSSES`; "truth" is left
            out where training images have no masks.
        train_limit, val_limit: images used of each split; None uses all.
        snapshots: iterations at which the confidence map is kept, as fractions of the training.
        test_scales: sizes at which the multi-scale prediction sees an image, each mirrored too;
            only (1.0,) leaves multi-scale testing out.
        loader_workers: processes that prepare crops beside the training.
        label_workers: processes that make labels and train the heads of benches, one thread each.
        train_workers: processes that train networks beside one another, where several are asked for
            and there is no GPU, see `bana.experiment.beside`.
        classifier_home, labels_home: names of the runs in which classifiers and labels lie, where
            that is another one, see `changed`.
    """

    name: str
    data: str
    classifier: Optimisation
    segmentation: Optimisation
    seed: int = 0
    backbone: str = "lite0"
    output_stride: int = 16
    frozen_stages: int = 0
    frozen_statistics: bool = True
    segmenter_backbone: str | None = None
    from_classifier: bool = False
    neck: str = "aspp-small"
    weights: str | None = None
    train_splits: tuple[str, ...] = ("train",)
    strong_split: str | None = None
    image_scale: float = 1.0
    crop: int = 321
    crop_scale: tuple[float, float] = (0.5, 1.5)
    classifier_drop: float = 0.625
    grid_size: int = 4
    parts: int = 2
    unary: UnaryOptions = field(default_factory=UnaryOptions)
    label_crf: CrfParameters = LABEL_CRF
    box_inside: float = INSIDE
    test_crf: CrfParameters = DEEPLAB_V1_CRF
    gamma: float = 7.0
    lam: float = 0.1
    losses: tuple[str, ...] = ("crf", "ret", "ignore", "nal", "truth")
    train_limit: int | None = None
    val_limit: int | None = None
    snapshots: tuple[float, ...] = (0.1, 0.4, 1.0)
    test_scales: tuple[float, ...] = (1.0,)
    loader_workers: int = 0
    label_workers: int = 2
    train_workers: int = 1
    classifier_home: str | None = None
    labels_home: str | None = None


# The authors keep u_0 only where it is within 1 % of its maximum. The light backbone, trained for
# minutes, does not bring background that close together, so that .99 would leave next to nothing
# of u_0. On training photographs of voc-mini (results/threshold-voc-mini.json) all of u_0 is worse
# than .75, and no other threshold from .6 to .99 is told apart from it, so that .75 stays.
LIGHT_UNARY = UnaryOptions(background_threshold=0.75)

# Published CRFs were chosen on photographs 500 pixels wide. On scenes of 224 their wide kernel
# would reach across whole objects; here it reaches as far in proportion: 55 and 121 times .45.
SAMPLE_CRF = replace(LABEL_CRF, bilateral_xy=25)
SAMPLE_TEST_CRF = replace(DEEPLAB_V1_CRF, bilateral_xy=54)

SAMPLE = Profile(
    name="sample",
    data="sample",
    image_scale=1.25,
    crop=161,
    frozen_stages=3,
    train_limit=160,
    unary=LIGHT_UNARY,
    label_crf=SAMPLE_CRF,
    test_crf=SAMPLE_TEST_CRF,
    losses=("crf", "nal", "truth"),
    from_classifier=True,
    train_workers=3,
    classifier=Optimisation(iterations=90, batch=8, learning_rate=2e-3),
    segmentation=Optimisation(iterations=100, batch=8, learning_rate=1e-3),
)

PAPER_VGG = Profile(
    name="paper-vgg",
    data="voc",
    backbone="vgg16",
    segmenter_backbone="vgg16-largefov",
    output_stride=8,
    neck="none",
    train_splits=("train_aug", "train"),
    losses=("crf", "ret", "ignore", "entropy", "bootstrap", "nal", "truth"),
    test_scales=(0.5, 0.75, 1.0, 1.5),
    loader_workers=8,
    label_workers=8,
    classifier=Optimisation(iterations=8_000, batch=20, learning_rate=1e-3),
    segmentation=Optimisation(iterations=23_805, batch=20, learning_rate=1e-3),
)

PROFILES = {
    profile.name: profile
    for profile in (
        replace(
            SAMPLE,
            name="smoke",
            crop=129,
            image_scale=1.0,
            classifier=Optimisation(iterations=2, batch=2, learning_rate=2e-3),
            segmentation=Optimisation(iterations=2, batch=2, learning_rate=2e-3),
            train_limit=4,
            val_limit=3,
            train_workers=1,
        ),
        SAMPLE,
        Profile(
            name="voc-mini",
            data="voc",
            crop=225,
            frozen_stages=3,
            loader_workers=1,
            unary=LIGHT_UNARY,
            from_classifier=True,
            losses=("crf", "nal", "truth"),
            train_workers=2,
            classifier=Optimisation(iterations=500, batch=8, learning_rate=2e-3),
            segmentation=Optimisation(iterations=400, batch=8, learning_rate=1e-3),
        ),
        PAPER_VGG,
        replace(
            PAPER_VGG,
            name="paper-resnet",
            segmenter_backbone="resnet101",
            neck="aspp",
            segmentation=Optimisation(iterations=20_000, batch=10, learning_rate=2.5e-4),
            test_crf=DEEPLAB_V2_CRF,
        ),
    )
}


def with_seed(profile: Profile, seed: int) -> Profile:
    """The profile under another seed, with a name and so a run folder of its own.

    "voc-mini" becomes "voc-mini-seed1"; its own seed leaves a profile as it is, so that what has
    been made under it is found. The drawn sample has other scenes under another seed.

    Raises:
        ValueError: if the seed is negative, or the profile's name tells another one.
    """
    if seed < 0:
        raise ValueError(f"a seed must be at least 0, got {seed}")
    if seed == profile.seed:
        return profile
    if profile.name.endswith(f"-seed{profile.seed}"):
        raise ValueError(f"profile {profile.name} has its seed: name it without, to give another")
    homes = {"name": profile.name, "classifier_home": profile.classifier_home}
    homes |= {"labels_home": profile.labels_home}
    own = {field: f"{home}-seed{seed}" for field, home in homes.items() if home is not None}
    return replace(profile, seed=seed, **own)


def get_profile(name: str) -> Profile:
    """The profile of that name; "voc-mini-seed1" is "voc-mini" under seed 1, see `with_seed`.

    Raises:
        ValueError: if there is none.
    """
    base, mark, seed = name.rpartition("-seed")
    if mark and base in PROFILES and seed.isdecimal():
        return with_seed(PROFILES[base], int(seed))
    if name not in PROFILES:
        raise ValueError(f"unknown profile {name!r}: use one of {', '.join(PROFILES)}")
    return PROFILES[name]


def check_data_folder(profile: Profile, root: object) -> None:
    """Refuse a folder of photographs where a profile draws its own, which would ignore it.

    Raises:
        ValueError: if there is one; the profiles that take it are named.
    """
    if root and profile.data == "sample":
        takers = ", ".join(name for name, other in PROFILES.items() if other.data != "sample")
        raise ValueError(
            f"profile {profile.name!r} draws its own data: leave out --data {root}, or name a "
            f"profile of photographs ({takers})"
        )


def shortened(profile: Profile, iterations: int) -> Profile:
    """A try of a profile: few iterations, on as many images as they can see, under another name.

    Args:
        profile: the real one.
        iterations: of both trainings, at least 1.

    Raises:
        ValueError: if there is less than one iteration.
    """
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations}")
    images = iterations * max(profile.classifier.batch, profile.segmentation.batch)
    return replace(
        profile,
        name=f"{profile.name}-{iterations}-iterations",
        classifier=replace(profile.classifier, iterations=iterations),
        segmentation=replace(profile.segmentation, iterations=iterations),
        train_limit=min(profile.train_limit or images, images),
        classifier_home=None,  # a short training must not take the place of the real one
        labels_home=None,
    )


def semi_supervised(profile: Profile, split: str) -> Profile:
    """The profile with the true masks of a split in stage 3, and a folder of its own for it.

    Classifier and labels are found where they were. The profile's own split changes nothing.
    "sample" becomes "sample-strong-gold".
    """
    if split == profile.strong_split:
        return profile
    return replace(
        profile,
        name=f"{profile.name}-strong-{split}",
        strong_split=split,
        classifier_home=profile.classifier_home or profile.name,
        labels_home=profile.labels_home or profile.name,
    )


@dataclass(frozen=True)
class Changes:
    """Settings of the paper that can be tried one by one; None leaves a profile's own.

    Attributes:
        grid_size, parts: of the pooling in training.
        label_grid, threshold: of the unary, see `bana.labels.UnaryOptions`.
        gamma, lam: of the losses on ~S.

    Raises:
        ValueError: a value is out of its range.
    """

    grid_size: int | None = None
    parts: int | None = None
    label_grid: int | None = None
    threshold: float | None = None
    gamma: float | None = None
    lam: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no training could use."""
        least = {"grid_size": 1, "parts": 1, "label_grid": 1, "gamma": 1, "lam": 0, "threshold": 0}
        for name, lowest in least.items():
            value = getattr(self, name)
            if value is not None and not lowest <= value < float("inf"):
                raise ValueError(f"{name} must be at least {lowest}, got {value}")
        if self.threshold is not None and self.threshold > 1:
            raise ValueError(f"threshold must be at most 1, got {self.threshold}")


def changed(profile: Profile, changes: Changes) -> Profile:
    """The profile with some settings changed, and folders of its own from the first of them on.

    What a change does not reach is found where it was: under another lambda the classifier and the
    labels are those of the profile itself, under another threshold the classifier. A value that is
    the profile's own changes nothing. "sample" becomes "sample-grid2-threshold0.5-gamma3".
    """
    unary = {"grid_size": changes.label_grid, "background_threshold": changes.threshold}
    first = _differing(profile, {"grid_size": changes.grid_size, "parts": changes.parts})
    second = _differing(profile.unary, unary)
    third = _differing(profile, {"gamma": changes.gamma, "lam": changes.lam})
    words = {"grid_size": "grid", "parts": "parts", "gamma": "gamma", "lam": "lambda"}
    unary_words = {"grid_size": "labelgrid", "background_threshold": "threshold"}
    trained = profile.name + _told(first, words)
    labelled = trained + _told(second, unary_words)
    name = labelled + _told(third, words)
    # An inherited home is another run's: what a change reaches would take the place of its own.
    classifiers = (None if first else profile.classifier_home) or trained
    labels = (None if first or second else profile.labels_home) or labelled
    return replace(
        profile,
        name=name,
        classifier_home=classifiers if classifiers != name else None,
        labels_home=labels if labels != name else None,
        unary=replace(profile.unary, **second),
        **first,
        **third,
    )


def _differing(held: object, given: dict[str, float | None]) -> dict[str, float]:
    """Of the values given those that a record does not have already."""
    return {k: v for k, v in given.items() if v is not None and v != getattr(held, k)}


def _told(values: dict[str, float], words: dict[str, str]) -> str:
    return "".join(f"-{words[name]}{value:g}" for name, value in values.items())
