"""The commands `bana evaluate`, `regime`, `predict` and `export`: fronts of scores and results.

Imports are inside the commands, so that `bana --help` answers at once.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bana.commands.records import add_record, record_path, write_record
from bana.commands.train import (
    ALL_SETTINGS,
    OF_LABELS,
    add_changes,
    add_settings,
    add_strong,
    chosen_profile,
    refuse_unused,
    refuse_unused_by_labels,
    refuse_unused_by_loss,
    told,
)

Command = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]


def add_evaluation_commands(
    command: Command,
    with_profile: Callable[[argparse.ArgumentParser], argparse.ArgumentParser],
    losses: Sequence[str],
    variants: Sequence[str],
) -> None:
    """Add `evaluate`, `regime`, `predict` and `export` to `bana`.

    Args:
        command: makes a command from its name, what it does and a line of help.
        with_profile: adds the options of every command that works under a profile.
        losses: names of the losses.
        variants: names of the kinds of labels.
    """
    text = "score labels and networks, and record the scores"
    evaluate = add_strong(add_changes(with_profile(command("evaluate", _evaluate, text))))
    add_settings(evaluate, ALL_SETTINGS)
    add_record(evaluate, "PROFILE.json")
    evaluate.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        metavar="N",
        help="these seeds, several as mean and standard deviation (default: the profile's own)",
    )
    evaluate.add_argument(
        "--losses",
        nargs="+",
        choices=losses,
        metavar="LOSS",
        help=f"networks of these losses, of {' '.join(losses)} (default: the profile's own)",
    )
    text = "say in numbers whether a data set is one in which the method works"
    card = add_strong(add_changes(with_profile(command("regime", _regime, text))))
    add_settings(card, ALL_SETTINGS)
    card.add_argument("--split", choices=("train", "val"), default="val", help="(default: val)")
    card.add_argument(
        "--sigma",
        action="store_true",
        help="also how well the trained segmenter's confidence knows the wrong training labels",
    )
    add_record(card, "regime-PROFILE.json or regime-PROFILE-train.json")
    text = "write a network's label maps, for VOC's server or of any images"
    predict = add_strong(add_changes(with_profile(command("predict", _predict, text))))
    _predict_options(add_settings(predict, ALL_SETTINGS), losses)
    text = "write the boxes' masks as COCO results, and score them"
    export = add_settings(add_changes(with_profile(command("export", _export, text))), OF_LABELS)
    _export_options(export, variants)


def _predict_options(made: argparse.ArgumentParser, losses: Sequence[str]) -> None:
    made.add_argument("--loss", choices=losses, default="nal", help="(default: nal)")
    made.add_argument(
        "--split", metavar="NAME", help="images of ImageSets/Segmentation/NAME.txt, packed too"
    )
    made.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="a folder of .jpg, .jpeg, .png, .webp, .bmp, .tif or .tiff, not of folders; with "
        "--split another folder in VOC layout",
    )
    made.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where to")
    made.add_argument(
        "--multi-scale", action="store_true", help="mean of several sizes, each mirrored too"
    )
    made.add_argument("--crf", action="store_true", help="refine by the profile's test CRF")


def _export_options(made: argparse.ArgumentParser, variants: Sequence[str]) -> None:
    made.add_argument("--split", default="val", metavar="NAME", help="(default: val)")
    made.add_argument(
        "--variant", choices=variants, default="bap", help="how labels are made (default: bap)"
    )
    made.add_argument(
        "--labels", choices=("Y_crf", "Y_ret"), default="Y_crf", help="(default: Y_crf)"
    )
    made.add_argument(
        "--target",
        type=Path,
        metavar="FOLDER",
        help="another data set in VOC layout, which may have classes never seen in training",
    )
    made.add_argument(
        "--truth",
        type=Path,
        metavar="FILE",
        help="COCO file of instances to score against (default: SegmentationObject, if there)",
    )
    made.add_argument("--out", type=Path, required=True, metavar="FILE", help="the results")


def _evaluate(arguments: argparse.Namespace) -> int:
    from bana.experiment import recording
    from bana.experiment.profiles import with_seed
    from bana.experiment.seeds import combined_record
    from bana.experiment.tables import record_tables

    profile = chosen_profile(arguments)
    if arguments.losses:
        refuse_unused_by_loss(arguments, *arguments.losses)
        profile = replace(profile, losses=tuple(dict.fromkeys(arguments.losses)))
    seeds = arguments.seeds or [profile.seed]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"--seeds {' '.join(map(str, seeds))}: every seed counts once")
    profiles = [with_seed(profile, seed) for seed in seeds]
    name = profile.name if len(seeds) > 1 else profiles[0].name
    out = record_path(arguments, name, f"{name}.json")
    records = [recording.record(each, arguments.data) for each in profiles]
    measured = records[0]
    if len(seeds) > 1:
        together = recording.differences(profiles, arguments.data)
        measured = combined_record(records, profile.name) | {"differences": together}
    given = f" --seeds {' '.join(map(str, seeds))}" if arguments.seeds else ""
    given += f" --losses {' '.join(profile.losses)}" if arguments.losses else ""
    print(record_tables(measured))
    # A class that occurs nowhere has no score: nan, which JSON does not know, becomes null.
    measured = json.loads(json.dumps(measured), parse_constant=lambda _: None)
    write_record(out, f"bana evaluate {told(arguments)}{given}", measured)
    return 0


def _regime(arguments: argparse.Namespace) -> int:
    from bana.experiment import recording, regime
    from bana.experiment.tables import regime_lines

    if arguments.strong and not arguments.sigma:
        raise ValueError("--strong is of the segmenter, which only --sigma asks: leave it out")
    if not arguments.sigma:
        refuse_unused(arguments, ("gamma", "lam"), "is of the segmenter, which only --sigma asks")
    profile, split, root = chosen_profile(arguments), arguments.split, arguments.data
    name = profile.name + "-train" * (split == "train")
    out = record_path(arguments, profile.name, f"regime-{name}.json")
    given = f" --split {split}" * (split != "val") + " --sigma" * arguments.sigma
    record = {
        **recording.about(profile, root),
        "seed": profile.seed,
        "split": split,
        "regime": regime.regime_card(profile, split, root),
        "sigma": regime.sigma_card(profile, root) if arguments.sigma else None,
    }
    print(regime_lines(record))
    write_record(out, f"bana regime {told(arguments)}{given}", record)
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    from bana.data.checks import listed
    from bana.evaluation import export, prediction
    from bana.experiment import stages

    refuse_unused_by_loss(arguments, arguments.loss)
    profile = chosen_profile(arguments)
    split, folder, turned = arguments.split, arguments.out, {}
    if split:
        root = arguments.images or stages.data_root(profile, arguments.data)
        images = export.split_images(root, split)
        folder = export.server_folder(arguments.out, split)
    elif arguments.images:
        if folder.resolve() == arguments.images.resolve():
            raise ValueError(f"--out {folder}: is the folder of images; name another one")
        images, turned = export.upright(export.folder_images(arguments.images))
        if others := export.passed_over(arguments.images):
            told = f"{len(others)} things in {arguments.images}: {listed(others)}"
            print(f"bana: note: passed over {told}", file=sys.stderr)
    else:
        raise ValueError("predict what? Name a split (--split val) or a folder (--images FOLDER)")
    view = prediction.SINGLE
    if arguments.multi_scale:
        view = prediction.multi_view(profile.test_scales)
    crf = profile.test_crf if arguments.crf else None
    model = stages.segmenter(profile, arguments.loss, arguments.data)
    failed = export.write_predictions(
        model.to(prediction.fastest_device()),
        images,
        folder,
        view,
        crf,
        profile.image_scale,
        profile.label_workers,
    )
    for reason in (*turned.values(), *failed.values()):
        print(f"bana: {reason}", file=sys.stderr)
    if turned or failed:
        return 1
    print(export.pack_results(arguments.out, split, list(images)) if split else folder)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from bana.data.voc import VocDataset
    from bana.evaluation import average_precision, scoring
    from bana.experiment import stages
    from bana.experiment.labelling import VARIANTS
    from bana.experiment.tables import precision_lines
    from bana.experiment.transfer import transferred_labels
    from bana.files.artefacts import write_json

    refuse_unused_by_labels(arguments, arguments.variant)
    profile, root = chosen_profile(arguments), arguments.data
    split, variant = arguments.split, arguments.variant
    if arguments.labels == "Y_ret" and VARIANTS[variant] is None:
        raise ValueError(f"labels {variant!r} have no Y_ret")
    if arguments.target:
        data = VocDataset(arguments.target, split)
    else:
        data = stages.dataset(profile, split, root)
    truth = average_precision.find_truth(data, arguments.truth)
    ids = average_precision.ids_of(data, truth)
    if arguments.target:
        folder = transferred_labels(profile, data, variant, root)
    else:
        folder = stages.labels(profile, split, variant, root)
    results = scoring.label_file_instances(data, folder / arguments.labels, ids)
    write_json(arguments.out, results)
    print(f"{len(results)} masks: {arguments.out}")
    if truth is None:
        missing = average_precision.object_folder(data)
        print(
            f"no average precision: {missing} is not there and no --truth was given; class masks "
            f"do not tell objects of one class apart"
        )
        return 0
    scores = average_precision.average_precision(truth, results, ids.images.values())
    print(precision_lines({arguments.labels: scores}))
    return 0
