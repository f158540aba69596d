"""The command `bana masks`: a thin front of what makes masks of a folder from its boxes.

Imports are inside the command, so that `bana --help` answers at once.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bana.data.checks import counted
from bana.data.formats.known import CONVENTION_HELP, CONVENTIONS, FORMATS

WRITES = ("voc", "coco", "yolo-seg", "labelme", "instances")
SIDE = 500
FEW = 20
"""So many failures are told on the screen; failures.csv has all."""
EPILOGUE = """\
boxes, told by what is in the files
  voc          Annotations/a.xml, a folder of them: 1-based inclusive (--convention half-open: not)
  coco         one JSON file
  yolo         a folder of a.txt, classes in data.yaml, classes.txt or obj.names, or by --classes
  csv          image,xmin,ymin,xmax,ymax,class (see `bana data import --help`)
  labelme      a folder of a.json
  labelstudio  one exported JSON or JSON-MIN file
  cvat         one XML file, "CVAT for images"

masks, below the folder OUT
  voc          voc/SegmentationClass/a.png, with VOC's palette, numbered as voc/classes.txt
  coco         coco/instances-rle.json and coco/instances-polygons.json
  yolo-seg     yolo-seg/labels/a.txt and data.yaml
  labelme      labelme/a.json, polygons
  instances    instances/a/001-dog.png, one a box

review.html shows the photographs whose masks are worth checking first; review.csv is the order of
all. A command that was interrupted is simply repeated. Exit codes: 0 all photographs with boxes are
done, 1 some failed (failures.csv says why), 2 wrong input.
"""


def add_masks_command(commands: Any) -> None:
    """Add `masks` to the subparsers of `bana`."""
    made = commands.add_parser(
        "masks",
        help="make masks of your photographs from your boxes",
        description="Make masks of your photographs from your boxes, and say which to check.",
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.set_defaults(action=_masks)
    made.add_argument("images", type=Path, metavar="IMAGES", help="folder of the photographs")
    made.add_argument(
        "--boxes", type=Path, required=True, metavar="PATH", help="a file or a folder of files"
    )
    made.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder of the masks")
    made.add_argument("--format", choices=FORMATS, help="of the boxes (default: found out)")
    made.add_argument(
        "--write",
        nargs="+",
        choices=WRITES,
        default=("voc", "coco"),
        metavar="FORMAT",
        help=f"formats of the masks: {', '.join(WRITES)} (default: voc coco)",
    )
    made.add_argument(
        "--classes",
        type=Path,
        metavar="FILE",
        help="one class a line, in the order of their numbers; of yolo a data.yaml too",
    )
    made.add_argument("--convention", choices=CONVENTIONS, help=CONVENTION_HELP)
    made.add_argument(
        "--longest",
        type=int,
        default=SIDE,
        metavar="PX",
        help=f"longer side at which the classifier sees a photograph (default: {SIDE}, as it was "
        f"trained); masks have the photograph's size",
    )
    made.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: cores, up to 8)"
    )
    made.add_argument(
        "--train",
        action="store_true",
        help="train the classifier on these boxes first, and say what that brings; minutes",
    )
    made.add_argument(
        "--iterations",
        type=int,
        metavar="N",
        help="of --train (default: 200 to 500, by the number of photographs)",
    )
    made.add_argument(
        "--review",
        type=int,
        default=200,
        metavar="N",
        help="photographs on the review page, 60 kB each (default: 200; 0 makes no page)",
    )
    made.add_argument(
        "--truth",
        type=Path,
        metavar="FOLDER",
        help="true masks, <name>.png: review.json tells how many errors the order catches",
    )


def _masks(arguments: argparse.Namespace) -> int:
    from bana.data.formats.common import Folder
    from bana.data.formats.detection import detect, read_boxes
    from bana.data.oddities import notes_on_classes
    from bana.experiment import masking
    from bana.experiment.mask_folder import opened_folder
    from bana.experiment.pretrained import load_pretrained
    from bana.files.parallel import default_workers

    for name, least in (("workers", 1), ("review", 0), ("iterations", 1)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise ValueError(f"--{name} {value}: at least {least}")
    if arguments.iterations is not None and not arguments.train:
        raise ValueError(f"--iterations {arguments.iterations}: of --train alone, which is missing")
    settings = masking.MaskSettings(arguments.longest, tuple(dict.fromkeys(arguments.write)))
    images = Folder(arguments.images)
    kind = arguments.format or detect(arguments.boxes)
    read = read_boxes(kind, arguments.boxes, images, arguments.classes, arguments.convention)
    classes = masking.classes_of(read)
    jobs = masking.mask_jobs(read, images, classes)
    if not jobs:
        raise ValueError(f"{arguments.boxes}: no box of any photograph in {images.root}")
    if arguments.truth:
        _check_truth(arguments.truth, [job.name for job in jobs])
    model = load_pretrained()
    _tell_what_was_read(kind, read, jobs, images)
    boxes = [box for job in jobs for box in job.photograph.boxes]
    cell = model.classifier.backbone.stride
    notes = masking.notes_on_jobs(jobs, settings.side, cell)
    for note in (*notes, *notes_on_classes(classes, boxes)):
        _tell(note)
    if not arguments.train:
        _tell_classes(classes, masking.unknown_classes(classes, model))
    about = {
        "images": str(images.root.resolve()),
        "boxes": str(arguments.boxes.resolve()),
        "format": kind,
        "classes": list(classes),
        "longest": settings.side,
        "classifier": "trained on these boxes" if arguments.train else "as it comes along",
    }
    workers, out = arguments.workers or default_workers(), arguments.out
    with opened_folder(out, about, images.root):
        if arguments.train:
            model = _train(arguments, jobs, classes, model, settings.side, workers)
        made = masking.make_masks(
            jobs, read.failed, classes, out, settings, model, workers, read.coco
        )
        if made.names:
            _review(arguments, images.root, made.names, classes)
    return _tell_what_was_made(made, arguments.out)


def _check_truth(truth: Path, names: Sequence[str]) -> None:
    """Refuse a folder that is of no use when all masks have been made, which may take hours."""
    if not truth.is_dir():
        raise ValueError(f"--truth {truth}: no such folder of masks")
    if not any((truth / f"{name}.png").is_file() for name in names):
        raise ValueError(
            f"--truth {truth}: no mask of any of {counted(len(names), 'photograph')} (<name>.png)"
        )


def _tell(text: str) -> None:
    print(f"bana: {text}", file=sys.stderr)


def _tell_what_was_read(kind: str, read: Any, jobs: Sequence[Any], images: Any) -> None:
    boxes = sum(len(job.photograph.boxes) for job in jobs)
    _tell(f"boxes of format {kind}: {boxes} in {counted(len(jobs), 'photograph')}")
    if images.strange:
        told = ", ".join(f"{count} {ending}" for ending, count in sorted(images.strange.items()))
        _tell(f"files in {images.root} that are no photographs and no boxes: {told}")
    without = len(set(images.paths) - {job.photograph.path for job in jobs})
    if without > 0:
        _tell(f"{counted(without, 'photograph')} of the folder without boxes: no masks")
    for note in read.notes:
        _tell(note)


def _tell_classes(classes: Sequence[str], unknown: Sequence[str]) -> None:
    known = [name for name in classes[1:] if name not in unknown]
    if known:
        _tell(f"classes that the classifier knows: {', '.join(known)}")
    if unknown:
        _tell(
            f"classes that it does not know: {', '.join(unknown)}: masks by likeness to the "
            f"background alone"
        )


def _train(
    arguments: argparse.Namespace,
    jobs: Sequence[Any],
    classes: tuple[str, ...],
    model: Any,
    side: int,
    workers: int,
) -> Any:
    """The classifier trained on these boxes; tells what that brought."""
    from bana.experiment.own_classifier import told, train_on_boxes

    own, report = train_on_boxes(
        arguments.out, jobs, classes, model, side, arguments.iterations, processes=workers
    )
    for line in told(report):
        _tell(line)
    return own


def _review(
    arguments: argparse.Namespace, images: Path, names: Sequence[str], classes: Sequence[str]
) -> None:
    from bana.experiment.review.order import errors_of, review_curve, review_order, write_order
    from bana.experiment.review.page import write_page
    from bana.files.artefacts import write_json

    out = arguments.out
    entries = review_order(out, names)
    write_order(out / "review.csv", entries)
    page = out / "review.html"
    if arguments.review:
        write_page(page, out, images, entries, classes, arguments.review)
    else:
        page.unlink(missing_ok=True)
    if arguments.truth:
        errors = errors_of(out, entries, classes, arguments.truth)
        curve = review_curve([errors[entry.name] for entry in entries if entry.name in errors])
        write_json(out / "review.json", curve)
        photographs = counted(curve["photographs"], "photograph")
        for point in curve["points"]:
            caught = point["caught"]
            if not point["looked_at"]:
                continue  # of few photographs a small share is none
            _tell(
                f"looking at {point['looked_at']:.0f} % of {photographs} "
                f"catches {caught['value']:.0f} % of the errors "
                f"[{caught['low']:.0f}, {caught['high']:.0f}], by chance {point['chance']:.0f} %"
            )


def _tell_what_was_made(made: Any, out: Path) -> int:
    for name, reason in list(made.failed.items())[:FEW]:
        _tell(f"no mask of {name}: {reason}")
    if len(made.failed) > FEW:
        _tell(f"... and of {len(made.failed) - FEW} more")
    if made.empty:
        boxes = "1 box has" if made.empty == 1 else f"{made.empty} boxes have"
        _tell(f"{boxes} an empty mask; review.csv counts them")
    kept = len(made.names) - made.new
    names = counted(len(made.names), "photograph")
    _tell(f"masks of {names} ({kept} were there), {len(made.failed)} failed")
    print(out)
    return 1 if made.failed else 0
