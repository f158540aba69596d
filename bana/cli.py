"""The command `bana`: thin fronts of the package's functions.

Imports are inside the commands, so that `bana --help` answers at once.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bana.paths import results_dir, run_dir

SPLITS = ("train", "val")
POOLINGS = ("bap", "gap")
VARIANTS = ("bap", "bap-no-u0", "gap", "boxes", "grabcut")
LOSSES = ("nal", "crf", "ret", "ignore", "entropy", "bootstrap")
EPILOGUE = """\
profiles: sample (drawn, no download, minutes on two cores), voc-mini (photographs, light
backbone, two cores), paper-vgg and paper-resnet (the paper's settings, a GPU), smoke (tests).
What a command makes lies in runs/<profile>/ and is made once: a later command finds it there.
"""


def _run(arguments: argparse.Namespace) -> int:
    from bana.runner import make_course, run_course

    course = make_course(arguments.profile, arguments.data)
    return run_course(course, arguments.only, arguments.force)


def _publish(arguments: argparse.Namespace) -> int:
    from bana.runner import make_course, publish_course

    changed = publish_course(make_course("sample"))
    print("\n".join(changed) if changed else "nothing changed")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from bana.check import check_environment, report

    answers = check_environment()
    print(report(answers))
    return 1 if any(answer.remedy for answer in answers) else 0


def _data(arguments: argparse.Namespace) -> int:
    from bana import stages
    from bana.profiles import get_profile
    from bana.sample import make_sample

    profile = replace(get_profile("sample"), seed=arguments.seed)
    if arguments.out is None:
        print(stages.data_root(profile))
    else:
        print(make_sample(arguments.out, seed=arguments.seed))
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from bana import stages
    from bana.profiles import get_profile

    profile = get_profile(arguments.profile)
    if arguments.model == "classifier":
        stages.classifier(profile, arguments.pooling, arguments.data)
    else:
        stages.segmenter(profile, arguments.loss, arguments.data)
    print(run_dir(profile.name))
    return 0


def _label(arguments: argparse.Namespace) -> int:
    from bana import stages
    from bana.profiles import get_profile

    profile = get_profile(arguments.profile)
    print(stages.labels(profile, arguments.split, arguments.variant, arguments.data))
    return 0


def _environment() -> dict[str, str | int | None]:
    """What a record was measured with."""
    import platform
    from importlib.metadata import version

    packages = ("torch", "torchvision", "timm", "opencv-python-headless", "numpy")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "cores": os.cpu_count(),
    }


def _evaluate(arguments: argparse.Namespace) -> int:
    from bana import stages
    from bana.figures import source_commit
    from bana.profiles import get_profile
    from bana.seeds import combined_record, with_seed
    from bana.tables import record_tables

    profile = get_profile(arguments.profile)
    seeds = arguments.seeds or [profile.seed]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"--seeds {' '.join(map(str, seeds))}: every seed counts once")
    profiles = [with_seed(profile, seed) for seed in seeds]
    name = profile.name if len(seeds) > 1 else profiles[0].name
    out = arguments.out or results_dir() / f"{name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    records = [stages.record(each, arguments.data) for each in profiles]
    given = f" --seeds {' '.join(map(str, seeds))}" if arguments.seeds else ""
    record = {
        "command": f"bana evaluate --profile {profile.name}{given}",
        "commit": source_commit(),
        "environment": _environment(),
        **(combined_record(records) if len(seeds) > 1 else records[0]),
    }
    print(record_tables(record))
    # A class that occurs nowhere has no score: nan, which JSON does not know, becomes null.
    record = json.loads(json.dumps(record), parse_constant=lambda _: None)
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    out.write_text(text, encoding="utf-8", newline="\n")
    print(f"record: {out}")
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    from bana import export, prediction, stages
    from bana.profiles import get_profile

    profile = get_profile(arguments.profile)
    out = folder = arguments.out
    if arguments.split:
        root = arguments.images or stages.data_root(profile, arguments.data)
        images = export.split_images(root, arguments.split)
        folder = export.server_folder(out, arguments.split)
    elif arguments.images:
        images = export.folder_images(arguments.images)
    else:
        raise ValueError("predict what? Name a split (--split val) or a folder (--images FOLDER)")
    view = prediction.SINGLE
    if arguments.multi_scale:
        several = profile.test_scales != (1.0,)
        scales = profile.test_scales if several else prediction.AUTHORS_MULTI.scales
        view = prediction.View(scales, flip=True)
    crf = profile.test_crf if arguments.crf else None
    model = stages.segmenter(profile, arguments.loss, arguments.data)
    failed = export.write_predictions(
        model, images, folder, view, crf, profile.image_scale, profile.label_workers
    )
    for reason in failed.values():
        print(f"bana: {reason}", file=sys.stderr)
    if failed:
        return 1
    print(export.pack_results(out, arguments.split, list(images)) if arguments.split else folder)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from bana import average_precision, scoring, stages
    from bana.artefacts import write_json
    from bana.profiles import get_profile
    from bana.tables import precision_lines
    from bana.transfer import transferred_labels
    from bana.voc import VocDataset

    profile = get_profile(arguments.profile)
    if arguments.labels == "Y_ret" and arguments.variant in ("boxes", "grabcut"):
        raise ValueError(f"labels {arguments.variant!r} have no Y_ret")
    if arguments.target:
        data = VocDataset(arguments.target, arguments.split)
    else:
        data = stages.dataset(profile, arguments.split, arguments.data)
    truth = None
    if arguments.truth:
        truth = average_precision.coco_truth(arguments.truth)
    elif average_precision.object_folder(data).is_dir():
        truth = average_precision.voc_truth(data)
    if truth:
        ids = average_precision.truth_ids(truth, data.ids, data.classes)
    else:
        ids = average_precision.plain_ids(data.ids, len(data.classes))
    if arguments.target:
        folder = transferred_labels(profile, data, arguments.variant, arguments.data)
    else:
        folder = stages.labels(profile, arguments.split, arguments.variant, arguments.data)
    results = scoring.label_file_instances(data, folder / arguments.labels, ids)
    write_json(arguments.out, results)
    print(f"{len(results)} masks: {arguments.out}")
    if truth:
        scores = average_precision.average_precision(truth, results, ids.images.values())
        print(precision_lines({arguments.labels: scores}))
    else:
        print(
            f"no average precision: {average_precision.object_folder(data)} is not there and no "
            f"--truth was given; class masks do not tell objects of one class apart"
        )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bana",
        description="Segmentation networks from bounding boxes: run the course, or its parts.",
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(
        name: str, action: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        made.set_defaults(action=action)
        return made

    def with_profile(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
        made.add_argument("--profile", default="sample", help="settings to use (default: sample)")
        made.add_argument(
            "--data",
            type=Path,
            metavar="FOLDER",
            help="photographs in VOC layout (default: BANA_VOC_ROOT)",
        )
        return made

    run = with_profile(command("run", _run, "execute the notebooks that are stale, in order"))
    run.add_argument("--only", metavar="NN", help="this notebook alone, such as 03")
    run.add_argument("--force", action="store_true", help="execute what is up to date too")

    command("publish", _publish, "write the sample run's outputs into the committed notebooks")
    command("check", _check, "say whether the environment has what a run needs")

    data = command("data", _data, "draw the sample data set")
    data.add_argument("name", choices=("sample",), help="the data set to make")
    data.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where to (default: where runs look)"
    )
    data.add_argument("--seed", type=int, default=0, help="other scenes (default: 0)")

    train = command("train", _train, "train a network, unless it is trained already")
    models = train.add_subparsers(dest="model", metavar="MODEL", required=True)
    classifier = with_profile(models.add_parser("classifier", help="stage 1, learns from boxes"))
    classifier.add_argument(
        "--pooling", choices=POOLINGS, default="bap", help="within a box (default: bap)"
    )
    segmentation = with_profile(
        models.add_parser("segmentation", help="stage 3, learns from pseudo labels")
    )
    segmentation.add_argument("--loss", choices=LOSSES, default="nal", help="(default: nal)")

    label = with_profile(command("label", _label, "make the pseudo labels of a split"))
    label.add_argument("--split", choices=SPLITS, default="train", help="(default: train)")
    label.add_argument(
        "--variant", choices=VARIANTS, default="bap", help="how they are made (default: bap)"
    )

    evaluate = with_profile(
        command("evaluate", _evaluate, "score labels and networks, and record the scores")
    )
    evaluate.add_argument(
        "--out", type=Path, metavar="FILE", help="the record (default: results/<profile>.json)"
    )
    evaluate.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        metavar="N",
        help="these seeds, several as mean and standard deviation (default: the profile's own)",
    )

    predict = with_profile(
        command("predict", _predict, "write a network's label maps, for VOC's server or any images")
    )
    predict.add_argument("--loss", choices=LOSSES, default="nal", help="(default: nal)")
    predict.add_argument(
        "--split", metavar="NAME", help="images of ImageSets/Segmentation/NAME.txt, packed too"
    )
    predict.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="a folder of images; with --split another folder in VOC layout",
    )
    predict.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where to")
    predict.add_argument(
        "--multi-scale", action="store_true", help="mean of several sizes, each mirrored too"
    )
    predict.add_argument("--crf", action="store_true", help="refine by the profile's test CRF")

    export = with_profile(
        command("export", _export, "write the boxes' masks as COCO results, and score them")
    )
    export.add_argument("--split", default="val", metavar="NAME", help="(default: val)")
    export.add_argument(
        "--variant", choices=VARIANTS, default="bap", help="how labels are made (default: bap)"
    )
    export.add_argument(
        "--labels", choices=("Y_crf", "Y_ret"), default="Y_crf", help="(default: Y_crf)"
    )
    export.add_argument(
        "--target",
        type=Path,
        metavar="FOLDER",
        help="another data set in VOC layout, which may have classes never seen in training",
    )
    export.add_argument(
        "--truth",
        type=Path,
        metavar="FILE",
        help="COCO file of instances to score against (default: SegmentationObject, if there)",
    )
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="the results")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: words of the command line; None takes the process's own.

    Returns:
        0 when all went well, 1 when a notebook failed or the check found something to do, 2 for
        wrong input, which is told in one line.
    """
    parsed = _parser().parse_args(arguments)
    try:
        return parsed.action(parsed)
    except (ValueError, FileNotFoundError) as error:
        if parsed.debug:
            raise
        print(f"bana: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
