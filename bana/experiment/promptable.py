"""Masks from boxes by a promptable model, SAM or SAM 2, from a checkpoint of the user's own.

Such a model learned from masks and is given a box as a question. Nothing is trained here, nothing
is downloaded, and no file is unpickled: the checkpoint is a folder as `save_pretrained` of the
package transformers writes it, with its weights as safetensors.
"""

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bana.baselines import largest_first
from bana.data.boxes import pixels_of

MODELS = {
    "sam": ("SamModel", "SamProcessor"),
    "sam2": ("Sam2Model", "Sam2Processor"),
    "sam2_video": ("Sam2Model", "Sam2Processor"),  # as SAM 2 is published; images need a part of it
}
"""The classes of transformers that read a checkpoint, by the type that its config.json says."""
PICKLES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
SETTINGS = ("config.json", "preprocessor_config.json", "processor_config.json")
WANTED = "a folder with config.json, model.safetensors and the processor's settings"
BOXES_A_BATCH = 16


class Promptable(NamedTuple):
    """A promptable model, ready to be asked.

    Attributes:
        model, processor: of transformers; the model in evaluation mode.
        name: of the checkpoint's folder.
        kind: a key of `MODELS`.
        files: SHA-256 of the checkpoint's files by name: the weights, and the settings beside.
    """

    model: Any
    processor: Any
    name: str
    kind: str
    files: dict[str, str]

    @property
    def weights(self) -> dict[str, str]:
        """SHA-256 of the files with weights, by name."""
        return {name: digest for name, digest in self.files.items() if _is_weights(name)}


class Prompted(NamedTuple):
    """What a promptable model answers to the boxes of one image.

    Attributes:
        masks: bool [K, H, W], at the size of the image; they may reach beyond their boxes.
        scores: float32 [K], the IoU that the model expects each mask to have; about 0 to 1.
    """

    masks: Tensor
    scores: Tensor


def load_promptable(folder: Path, device: torch.device) -> Promptable:
    """Read a checkpoint, in 32 bits.

    Args:
        folder: as transformers saves a model together with its processor.
        device: where the model is to compute.

    Raises:
        ValueError: if transformers is not installed, or the folder is missing, holds no model of
            `MODELS`, holds pickled weights alone, or lacks some of the weights.
    """
    if importlib.util.find_spec("transformers") is None:
        raise ValueError("SAM needs transformers: pip install -e .[sam]")
    _check_folder(folder)
    kind = _kind_of(folder)
    model, processor = _read(folder, kind)
    files = {path.name: _digest(path) for path in sorted(folder.iterdir()) if _counts(path)}
    return Promptable(model.to(device).eval(), processor, folder.resolve().name, kind, files)


def _is_weights(name: str) -> bool:
    return name.endswith(".safetensors")


def _counts(path: Path) -> bool:
    return path.is_file() and (_is_weights(path.name) or path.name in SETTINGS)


def _digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _check_folder(folder: Path) -> None:
    """Refuse what is no folder with weights as safetensors."""
    pickled = "pickled weights can run code and are not read: wanted is"
    if folder.is_file():
        why = pickled if folder.suffix in PICKLES else "is a file: wanted is"
        raise ValueError(f"{folder}: {why} {WANTED}, which `save_pretrained` of SamModel writes")
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder: wanted is {WANTED}")
    names = [path.name for path in folder.iterdir()]
    if not any(map(_is_weights, names)):
        if any(name.endswith(PICKLES) for name in names):
            raise ValueError(f"{folder}: {pickled} {WANTED}, which `save_pretrained` writes")
        raise ValueError(f"{folder}: no weights: wanted is {WANTED}")


def _kind_of(folder: Path) -> str:
    """The type of the model, a key of `MODELS`."""
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except FileNotFoundError:
        raise ValueError(f"{folder}: no config.json: wanted is {WANTED}") from None
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{folder / 'config.json'}: says no model_type") from None
    if kind not in MODELS:
        known = ", ".join(MODELS)
        raise ValueError(f"{folder}: a model of type {kind!r}, not SAM: use one of {known}")
    return kind


def _read(folder: Path, kind: str) -> tuple[Any, Any]:
    """Model and processor of a folder, from its own files alone."""
    import transformers
    from safetensors import SafetensorError

    model_class, processor_class = (getattr(transformers, name) for name in MODELS[kind])
    said, bars = (
        transformers.logging.get_verbosity(),
        transformers.logging.is_progress_bar_enabled(),
    )
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        processor = processor_class.from_pretrained(folder, local_files_only=True)
        model, about = model_class.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        told = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"{folder}: transformers cannot read it: {told}") from error
    finally:
        transformers.logging.set_verbosity(said)
        if bars:
            transformers.logging.enable_progress_bar()
    if missing := sorted(about["missing_keys"]):  # they would be random numbers
        raise ValueError(f"{folder}: {len(missing)} weights are missing, such as {missing[0]}")
    return model, processor


@torch.no_grad()
def prompted(promptable: Promptable, image: Tensor, boxes: Tensor) -> Prompted:
    """Ask for the mask of every box of an image.

    The model looks at the image once and proposes several masks a box. The one is taken that the
    model itself expects to be best; no true mask is looked at.

    SAM counts pixels and adds half a pixel of its own, so that it is given the first and the last
    pixel of a box: (x1, y1, x2 - 1, y2 - 1) of our half-open (x1, y1, x2, y2).

    Args:
        promptable: the model.
        image: uint8 [3, H, W], RGB.
        boxes: float [K, 4], XYXY, half-open, pixels; K may be 0.

    Returns:
        Masks and scores on the CPU. A box's mask depends on no other box, but for the rounding of
        sums.
    """
    if not len(boxes):
        return Prompted(torch.zeros(0, *image.shape[1:], dtype=torch.bool), torch.zeros(0))
    model = promptable.model
    last = torch.maximum(boxes[:, 2:] - 1, boxes[:, :2])
    inputs = promptable.processor(
        images=image.cpu(),
        input_boxes=[torch.cat([boxes[:, :2], last], 1).tolist()],
        input_data_format="channels_first",
        return_tensors="pt",
    )
    sizes = {
        key: inputs[key] for key in inputs if key in ("original_sizes", "reshaped_input_sizes")
    }
    seen = model.get_image_embeddings(inputs["pixel_values"].to(model.device))
    masks, scores = [], []
    for questions in inputs["input_boxes"].to(model.device, torch.float32).split(BOXES_A_BATCH, 1):
        answer = model(image_embeddings=seen, input_boxes=questions, multimask_output=True)
        best = answer.iou_scores[0].max(1)
        chosen = answer.pred_masks[0].take_along_dim(best.indices[:, None, None, None], 1)
        (large,) = promptable.processor.post_process_masks([chosen], **sizes)
        masks.append(large[:, 0].cpu())
        scores.append(best.values.cpu())
    return Prompted(torch.cat(masks), torch.cat(scores))


def filled_masks(masks: Tensor, boxes: Tensor, classes: Tensor) -> Tensor:
    """Label in every box the pixels of its mask with the box's class.

    What a mask has outside its box is cut off: outside every box is background, as in all labels
    here. Where masks overlap the smaller box wins, of equal boxes the later one, as in
    `bana.baselines.filled_boxes`, which this is where masks are full.

    Args:
        masks: bool [K, H, W].
        boxes: float [K, 4], XYXY, half-open, pixels.
        classes: int64 [K], 1..254.

    Returns:
        uint8 [H, W], 0 where no box has a mask.

    Raises:
        ValueError: if there are not as many masks and classes as boxes.
    """
    if not len(masks) == len(boxes) == len(classes):
        counts = f"{len(masks)} masks and {len(classes)} classes for {len(boxes)} boxes"
        raise ValueError(f"masks, boxes, classes: {counts}")
    label = torch.zeros(masks.shape[1:], dtype=torch.uint8)
    for k in largest_first(boxes):
        here = pixels_of(boxes[k])
        label[here][masks[k][here]] = int(classes[k])
    return label
