"""The commands `bana data ...`: thin fronts of what makes, brings in and checks data sets."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bana.data.checks import counted
from bana.data.formats.known import CONVENTION_HELP, CONVENTIONS, FORMATS

EXPORTS = ("coco", "yolo")
LAYOUT = """\
everything reads one layout, a folder with
  JPEGImages/<id>.jpg                  photographs (.jpeg and .png too, in capitals too)
  Annotations/<id>.xml                 boxes, VOC's XML
  SegmentationClass/<id>.png           masks, to evaluate only: palette or grey, 255 = ignore
  SegmentationObject/<id>.png          the same of single objects, for average precision only
  SegmentationClassAug/<id>.png        masks of photographs that have none above (SBD's)
  ImageSets/Segmentation/<split>.txt   one id a line: train, val, train_aug, ...
  classes.txt                          one class a line, background first; none: VOC's 20
and is named to the other commands by --data FOLDER or the environment variable BANA_VOC_ROOT.
Profiles that draw their own data (sample, smoke) refuse --data, and say that they do not use the
variable.

an id is a whole line, spaces included. Names of files (a.jpg, JPEGImages/a.jpg) and DeepLab's pairs
(/JPEGImages/a.jpg /SegmentationClassAug/a.png) are read as ids; absolute paths, .. and lists of
several columns are refused. Texts are UTF-8, or UTF-16 with a byte-order mark. A photograph has at
most 178,956,970 pixels, or as many as the environment variable BANA_MAX_PIXELS says.

what is fetched, and under which terms
  sample     nothing; drawn by us, MIT
  voc2012    VOCtrainval_11-May-2012.tar, 2.0 GB, to FOLDER; Flickr's photographs, for research
             benchmark.tgz (SBD), 1.4 GB, to FOLDER/SBD; the same photographs, for research
  voc2007    VOCtrainval_06-Nov-2007.tar and VOCtest_06-Nov-2007.tar, 0.9 GB, to FOLDER; as above
  coco2017   with --download three archives, 20.4 GB, to FOLDER/download; annotations CC BY 4.0,
             photographs under Flickr's terms
an archive that lies there already is taken. A command that was interrupted is simply repeated.
"""
VOC2012 = """\
brings VOC 2012 and SBD to FOLDER/VOCdevkit/VOC2012 and FOLDER/SBD, where torchvision looks for them
too, and computes the split train_aug: SBD's train and val and VOC's train, without VOC's val,
10,582 photographs. Masks that only SBD has go to SegmentationClassAug; VOC's own folder stays as it
is and is read first. Reading SBD's needs scipy: pip install -e .[data]
"""
VERIFY = """\
An error stops a run or falsifies it: files that are missing, damaged or of another size; boxes
outside their image, in fractions of it or counted from 0; unknown classes; a mask whose palette has
been put in another order; an XML file about another photograph; an id in two splits. A warning
deserves a look: a class that lies outside of its boxes by more than a quarter, as in a mirrored
mask; a class without a box or a box without its class; boxes narrower than a pixel; EXIF that turns
the photograph; classes that differ in case alone. The exit code is 1 where there is an error.
"""
COCO = """\
Boxes keep COCO's fractions of a pixel. Masks have 80 classes; where instances overlap the smaller
one lies on top. Crowds are no boxes: they are 255 in the masks, and no background to the
classifier. Photographs are hard links to the originals, or copies where that cannot be.
Values that are not certain are refused, as `bana data import --help` says; so are segmentations
that are empty, of fewer than three points, of another image's size, or that do not add up to it.
Boxes without area, of which COCO's own files hold a few, are left out, and their ids told.
"""
IMPORT = """\
a CSV file has one box a line, in pixels, and this header:

  image,xmin,ymin,xmax,ymax,class
  zebra 1.jpg,0,12,224,168,zebra
  zebra 1.jpg,30.5,40,61,90.25,bird
  meadow.jpg,,,,,

The last line names a photograph without any object. Boxes are 0-based and half-open: the first one
reaches from the left border to the right one of an image 224 pixels wide. `--convention voc` reads
1-based inclusive boxes instead, (1, 13, 224, 168) for the same zebra.

Of XML files the photograph of b/a.xml is b/a.jpg, or with another ending; where there is none, the
one that <filename> names. Boxes are 1-based inclusive, as VOC's; `--convention half-open` reads
those of programs that write 0-based ones. A box that begins at 0 is asked about unless a convention
is named. Of JSON files boxes are COCO's x, y, width, height; what is flagged "ignore" is a crowd;
masks in it are passed over (`bana data coco2017` reads them).

Of YOLO's text files the classes are in data.yaml, classes.txt or obj.names, or named by --classes.
The formats of other tools are those of `bana masks --help`.

A photograph is found by its path, or by as much of the path as both sides share. Of YOLO's
poses (kpt_shape in data.yaml) the box is read, and the key points are passed over.

A photograph that is named without a box is left out, as nobody may have looked at it yet; with
--keep-empty it is background through and through. Photographs that are not named are counted.

Values are read where they are certain: 80.0 and the text 80 are 80. Refused, with the place of
each: null, NaN, Infinity, true and other words where a number belongs; iscrowd that is not 0 or 1;
boxes as fractions of the image, two corners where COCO has sides, boxes and polygons that stick out
of the image by more than 2 pixels; a size or a file name that is not the photograph's; photographs
that do not decode, or that EXIF turns while nothing says whether their boxes are turned; one id for
two photographs, or for one in another split with other boxes; a photograph with boxes that is named
without them too. Nothing is written before everything is checked, nor over what is read.

Told as a note, and done: boxes narrower than a pixel, that stick out by up to 2 pixels, that occur
twice, or that look like percent; COCO's boxes without area, which are left out; classes without a
box, or that differ in case or spacing alone; files that nothing reads.
"""

PACK = """\
A hundred million files are no folder. A shard is a tar file in WebDataset's layout: the files of an
image one after the other, unchanged, as <key>.jpg, <key>.xml, and the masks that there are as
<key>.class.png, <key>.classaug.png and <key>.object.png. The key is the id, with a dot written as
%2E. Shards are <split>-000000.tar and so on; shards.json, which comes last, lists them with the
classes, and each one's images, bytes and SHA-256. The same files give the same shards, byte for
byte. `bana label --from-shards` reads them, one image at a time.

Needs webdataset: pip install -e .[shards]
"""
UNPACK = """\
Photographs and boxes become a folder in VOC layout, as they were before `bana data pack`; labels
become Y_crf/<id>.png and Y_ret/<id>.png. Several splits may come into one folder. Files that are
there stay: they must be those of the shards. A shard that is damaged is told, and no list is
written. Needs webdataset, as `bana data pack` does.
"""


def add_data_commands(commands: Any) -> None:
    """Add `data` and its commands to the subparsers of `bana`."""
    text = "make, bring in or check a data set"
    made = commands.add_parser(
        "data",
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=LAYOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = made.add_subparsers(dest="name", metavar="COMMAND", required=True)

    def command(
        name: str, action: Callable[[argparse.Namespace], int], text: str, epilog: str = ""
    ) -> argparse.ArgumentParser:
        made = names.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.set_defaults(action=action)
        return made

    sample = command("sample", _sample, "draw the sample data set")
    sample.add_argument("--out", type=Path, metavar="FOLDER", help="(default: where runs look)")
    sample.add_argument("--seed", type=from_zero, default=0, help="other scenes (default: 0)")

    voc2012 = command("voc2012", _voc2012, "fetch VOC 2012 and SBD, compute train_aug", VOC2012)
    voc2007 = command("voc2007", _voc2007, "fetch VOC 2007, trainval and test")
    coco = command("coco2017", _coco2017, "bring COCO's boxes and masks into VOC layout", COCO)
    other = command("import", _import, "bring your own boxes into VOC layout", IMPORT)
    for made in (voc2012, voc2007, coco, other):
        made.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where to")

    _add_coco_arguments(coco)
    _add_import_arguments(other)
    _add_export_arguments(
        command("export", _export, "write the boxes of a split as another format")
    )

    _add_pack_arguments(command("pack", _pack, "write a split as tar shards", PACK))
    back = command("unpack", _unpack, "write tar shards as files again", UNPACK)
    back.add_argument("shards", type=Path, metavar="SHARDS", help="folder of shards")
    back.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where to")

    check = command("verify", _verify, "read every file and report what is wrong", VERIFY)
    check.add_argument(
        "--data", type=Path, metavar="FOLDER", help="in VOC layout (default: BANA_VOC_ROOT)"
    )
    check.add_argument("--split", nargs="+", default=(), metavar="NAME", help="(default: all)")
    check.add_argument("--json", type=Path, metavar="FILE", help="write the report here too")
    for made in (voc2012, coco, check):
        made.add_argument("--workers", type=count, metavar="N", help="processes (default: cores)")


def _add_coco_arguments(coco: argparse.ArgumentParser) -> None:
    coco.add_argument(
        "--download", action="store_true", help="fetch COCO 2017 and write the splits train and val"
    )
    coco.add_argument("--annotations", type=Path, metavar="FILE", help="instances_*.json")
    coco.add_argument("--images", type=Path, metavar="FOLDER", help="its photographs")
    coco.add_argument("--split", metavar="NAME", help="split to write, such as train or val")
    _add_keep_empty(coco)


def _add_import_arguments(other: argparse.ArgumentParser) -> None:
    other.add_argument("--format", choices=FORMATS, required=True, help="of the boxes")
    other.add_argument(
        "--boxes", type=Path, required=True, metavar="PATH", help="a file or a folder"
    )
    other.add_argument(
        "--images", type=Path, required=True, metavar="FOLDER", help="the photographs"
    )
    other.add_argument(
        "--split", default="train", metavar="NAME", help="split to write (default: train)"
    )
    other.add_argument(
        "--classes",
        type=Path,
        metavar="FILE",
        help="one class a line, in the order of their numbers; of yolo a data.yaml too (default: "
        "those of the source, or the classes that occur, by alphabet)",
    )
    other.add_argument("--convention", choices=CONVENTIONS, help=CONVENTION_HELP)
    _add_keep_empty(other)


def _add_export_arguments(back: argparse.ArgumentParser) -> None:
    back.add_argument("--format", choices=EXPORTS, required=True, help="of the boxes")
    back.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="in VOC layout")
    back.add_argument("--split", default="train", metavar="NAME", help="(default: train)")
    back.add_argument(
        "--out", type=Path, required=True, metavar="PATH", help="a new JSON file, or folder of yolo"
    )


def _add_pack_arguments(pack: argparse.ArgumentParser) -> None:
    pack.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="in VOC layout")
    pack.add_argument("--split", default="train", metavar="NAME", help="(default: train)")
    pack.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="where the shards go"
    )
    pack.add_argument(
        "--shard-images",
        type=count,
        default=5000,
        metavar="N",
        help="the most images of a shard (default: 5000)",
    )
    pack.add_argument(
        "--shard-bytes",
        type=count,
        metavar="N",
        help="the most bytes of a shard's files, but one image at least (default: no limit)",
    )


def _add_keep_empty(made: argparse.ArgumentParser) -> None:
    made.add_argument("--keep-empty", action="store_true", help="keep photographs without boxes")


def count(text: str) -> int:
    """A number of things, of the command line, from 1 up."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 up")
    return int(text)


def from_zero(text: str) -> int:
    """A whole number of the command line, from 0 up, such as a seed."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: at least 0, a whole number")
    return int(text)


def _sample(arguments: argparse.Namespace) -> int:
    from bana.data.sample.make import make_sample
    from bana.experiment import stages
    from bana.experiment.profiles import get_profile

    profile = replace(get_profile("sample"), seed=arguments.seed)
    if arguments.out is None:
        print(stages.data_root(profile))
    else:
        print(make_sample(arguments.out, seed=arguments.seed))
    return 0


def _voc2012(arguments: argparse.Namespace) -> int:
    from bana.data.pascal import prepare_voc2012

    print(prepare_voc2012(arguments.out, workers=arguments.workers))
    return 0


def _voc2007(arguments: argparse.Namespace) -> int:
    from bana.data.pascal import prepare_voc2007

    print(prepare_voc2007(arguments.out))
    return 0


def _coco2017(arguments: argparse.Namespace) -> int:
    from bana.data.coco import convert_coco, download_coco

    given = (arguments.annotations, arguments.images, arguments.split)
    if arguments.download and not any(given):
        sources = download_coco(arguments.out / "download")
    elif all(given) and not arguments.download:
        sources = {arguments.split: (arguments.annotations, arguments.images)}
    else:
        raise ValueError("give --annotations, --images and --split, or --download alone")
    for split, (annotations, images) in sources.items():
        written = convert_coco(
            annotations, images, arguments.out, split, arguments.keep_empty, arguments.workers
        )
        _tell(split, written)
    print(arguments.out)
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from bana.data.importing import import_boxes

    written = import_boxes(
        arguments.format,
        arguments.boxes,
        arguments.images,
        arguments.out,
        arguments.split,
        arguments.classes,
        arguments.convention,
        arguments.keep_empty,
    )
    _tell(arguments.split, written)
    print(arguments.out)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from bana.data.exporting import export_boxes

    made = export_boxes(arguments.format, arguments.data, arguments.split, arguments.out)
    print(f"{arguments.split}: {_counts(made.photographs, made.boxes, made.crowds)}")
    if made.left_out:
        crowds = counted(made.left_out, "crowd")
        print(f"bana: note: {crowds} left out, which YOLO knows not", file=sys.stderr)
    print(arguments.out)
    return 0


def _pack(arguments: argparse.Namespace) -> int:
    from bana.data.packing import pack

    given = arguments.data, arguments.split, arguments.out
    index = pack(*given, arguments.shard_images, arguments.shard_bytes)
    total = sum(shard.size for shard in index.shards)
    shards = f"{len(index.shards):,} shards of {total / 1e6:,.1f} MB together"
    print(f"{index.split}: {index.images:,} images, {shards}")
    print(arguments.out)
    return 0


def _unpack(arguments: argparse.Namespace) -> int:
    from bana.data.packing import unpack

    index = unpack(arguments.shards, arguments.out)
    print(f"{index.split}: {index.holds} of {index.images:,} images")
    print(arguments.out)
    return 0


def _counts(photographs: int, boxes: int, crowds: int) -> str:
    things = counted(photographs, "photograph"), counted(boxes, "box", "boxes")
    return ", ".join((*things, counted(crowds, "crowd")))


def _tell(split: str, written: Any) -> None:
    things = _counts(len(written.names), written.boxes, written.crowds)
    left_out = counted(written.left_out, "photograph")
    print(f"{split}: {things}; {left_out} without boxes left out")
    for note in written.notes:
        print(f"bana: note: {note}", file=sys.stderr)


def _verify(arguments: argparse.Namespace) -> int:
    from bana.data.layout import is_part
    from bana.data.verify import verify
    from bana.data.voc import find_voc_root
    from bana.files.artefacts import write_whole

    root = find_voc_root(arguments.data)
    if arguments.json and is_part(root, arguments.json):
        raise ValueError(
            f"--json {arguments.json}: lies in the data set {root} itself: name a file elsewhere"
        )
    report = verify(arguments.data, arguments.split, arguments.workers)
    print(report.as_text())
    if arguments.json:
        text = json.dumps(report.as_json(), indent=1) + "\n"
        write_whole(
            arguments.json, lambda file: file.write_text(text, encoding="utf-8", newline="\n")
        )
    return 1 if report.count("error") else 0
