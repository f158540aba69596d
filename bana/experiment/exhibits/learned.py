"""What the noise-aware network learned: its confidence over training, and its scores by class."""

from typing import Any

from bana.experiment import published, stages
from bana.experiment.exhibits.scenes import scene
from bana.experiment.exhibits.sources import Materials, Needs
from bana.losses import reliable_pixels

CONFIDENCE = Needs(train_labels=("bap",), segmenters=("nal",))
PER_CLASS = Needs(segmenters=("nal",))


def confidence(materials: Materials) -> dict[str, Any]:
    """Maps of Eq. 12 that were kept in training, on the training images that they are of.

    Returns:
        "classes"; "iterations"; "scenes": as `scene` has them, with "y_crf" uint8 [H, W],
        "unreliable" bool [H, W] and "sigma": {iteration: float [H, W]}.
    """
    history = materials.segmenters["nal"].confidence
    iterations = sorted(history)
    scenes = []
    for name in history[iterations[-1]] if iterations else ():
        shown = scene(materials, name, "train")
        y_crf = materials.label(name, "bap", "train")
        _, unreliable = reliable_pixels(y_crf, materials.label(name, "bap-ret", "train"))
        sigma = {iteration: history[iteration][name] for iteration in iterations}
        scenes.append(shown | {"y_crf": y_crf, "unreliable": unreliable, "sigma": sigma})
    classes = list(materials.data["train"].classes)
    return {"classes": classes, "iterations": iterations, "scenes": scenes}


def per_class(materials: Materials) -> dict[str, Any]:
    """IoU of every class in percent: this run's noise-aware network, and the published one.

    Returns:
        "here" and "published": {class: IoU}, classes that occur nowhere left out; "mode": how
        the network was tested; "images": how many.
    """
    data = materials.data["val"]
    scores = stages.segmentation_scores(materials.profile, "nal", materials.root)
    mode = list(scores)[-1]
    named = zip(data.classes, scores[mode]["per_class"], strict=True)
    return {
        "here": {name: value for name, value in named if value is not None},
        "published": dict(published.PER_CLASS_V1),
        "mode": mode,
        "images": len(data),
    }
