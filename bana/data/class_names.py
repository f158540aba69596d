"""Names of classes across data sets, which spell some of them differently."""

# VOC's names of classes that COCO calls otherwise.
COCO_NAMES = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "tvmonitor": "tv",
}


def common_name(name: str) -> str:
    """A class's name in one spelling: "diningtable" and "dining table" are one class.

    Args:
        name: VOC's, COCO's or anybody's.

    Returns:
        Small letters and digits alone; COCO's word where VOC has another.
    """
    plain = "".join(letter for letter in name.lower() if letter.isalnum())
    return COCO_NAMES.get(plain, plain)
