"""Pictures show what they were given: colours, positions, descriptions."""

import base64
import io

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from PIL import Image

from bana.course import plotting
from bana.data.voc import PALETTE


@pytest.fixture(autouse=True)
def close_figures():
    with matplotlib.rc_context():
        yield
    plt.close("all")


def luminance(colour):
    """Relative luminance of an sRGB colour, 0..1 (WCAG 2)."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour / 255]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_palette_of_few_classes_stands_out_and_leaves_vocs_alone():
    palette = plotting.label_palette(8)
    background = luminance(palette[0])
    for colour in palette[1:9]:
        assert (luminance(colour) + 0.05) / (background + 0.05) > 3  # WCAG's bound for graphics
    assert len({tuple(colour) for colour in palette[:9]}) == 9
    assert palette[255].tolist() == [255, 255, 255]
    many = plotting.label_palette(20)
    assert np.array_equal(many[:255], PALETTE[:255])
    assert many[255].tolist() == [255, 255, 255]


# Okabe and Ito's colours as they give them, 0-255, black replaced by pale green.
CLASS_COLOURS = [
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (180, 240, 180),
]


@pytest.mark.parametrize("classes", [1, 8])
def test_palette_of_few_classes_is_okabe_and_itos(classes):
    palette = plotting.label_palette(classes)
    assert [tuple(colour) for colour in palette[1:9].tolist()] == CLASS_COLOURS
    assert palette[0].tolist() == [28, 32, 38]
    assert (palette[9:255] == 128).all(), "a class that the data set does not have is grey"


def test_palette_is_the_callers_own():
    before = PALETTE.copy()
    for classes in (8, 20):
        plotting.label_palette(classes)[:] = 7
        assert (plotting.label_palette(classes)[255] == 255).all()
    assert np.array_equal(PALETTE, before)


@pytest.mark.parametrize("classes", [0, 255])
def test_palette_refuses_impossible_numbers(classes):
    with pytest.raises(ValueError, match="classes must be in"):
        plotting.label_palette(classes)


def test_cut_out_keeps_what_is_kept_and_marks_over_both():
    image = torch.tensor([[[200, 100, 90, 30]], [[100, 100, 60, 30]], [[0, 100, 30, 30]]])
    image = image.to(torch.uint8)  # [3, 1, 4]
    kept, marked = torch.tensor([[2, 0, 0, 1]]), torch.tensor([[0, 0, 1, 1]])
    drawn = plotting.cut_out(image, kept, marked)
    orange = [0xE6, 0x9F, 0x00]
    assert drawn[0].tolist() == [[200, 100, 0], [25, 25, 25], orange, orange]
    assert plotting.cut_out(image, kept)[0, 2].tolist() == [15, 15, 15]
    assert image[0, 0, 2] == 90
    with pytest.raises(ValueError, match="height, width"):
        plotting.cut_out(image, kept[:, :3])


def test_overlay_keeps_background_and_mixes_objects():
    image = torch.full((3, 2, 2), 100, dtype=torch.uint8)
    mask = torch.tensor([[0, 1], [255, 0]], dtype=torch.uint8)
    palette = plotting.label_palette(3)
    mixed = plotting.overlay(image, mask, palette, alpha=0.5)
    assert mixed[0, 0].tolist() == [100, 100, 100]
    assert np.abs(mixed[0, 1] - (100 + palette[1].astype(float)) / 2).max() <= 0.5
    assert mixed[1, 0].tolist() == [178, 178, 178]
    assert image.unique().tolist() == [100]


@pytest.mark.parametrize(("settings", "share"), [({"alpha": 0.25}, 0.25), ({}, 0.6)])
def test_overlay_mixes_in_the_share_that_is_asked_for(settings, share):
    image = torch.tensor([[[10, 200]], [[60, 90]], [[250, 0]]], dtype=torch.uint8)
    palette = plotting.label_palette(3)
    mixed = plotting.overlay(image, torch.tensor([[2, 255]]), palette, **settings)
    for pixel, label, under in zip(mixed[0], (2, 255), image[:, 0].T, strict=True):
        expected = (1 - share) * under.numpy() + share * palette[label]
        assert np.abs(pixel - expected).max() <= 0.5


def test_unreliable_pixels_are_white():
    y_crf = torch.tensor([[0, 1, 2]], dtype=torch.uint8)
    y_ret = torch.tensor([[0, 2, 2]], dtype=torch.uint8)
    palette = plotting.label_palette(3)
    drawn = plotting.mark_unreliable(y_crf, y_ret, palette)
    assert drawn.tolist() == [[palette[0].tolist(), [255, 255, 255], palette[2].tolist()]]


def test_unreliable_pixels_are_those_that_differ_in_any_way():
    labels = [0, 1, 2, 255]
    y_crf, y_ret = np.meshgrid(labels, labels)
    palette = plotting.label_palette(3)
    drawn = plotting.mark_unreliable(y_crf, y_ret, palette)
    for place, label in np.ndenumerate(y_crf):
        expected = palette[label] if label == y_ret[place] else [255, 255, 255]
        assert drawn[place].tolist() == list(expected)


def test_boxes_are_drawn_on_pixel_borders():
    _, ax = plt.subplots()
    plotting.draw_boxes(ax, torch.tensor([[2.0, 3.0, 10.0, 8.0]]), [1], ["background", "cat"])
    edges = {p.get_bbox().extents.tobytes() for p in ax.patches if isinstance(p, Rectangle)}
    assert edges == {np.array([1.5, 2.5, 9.5, 7.5]).tobytes()}
    assert [text.get_text() for text in ax.texts] == ["cat"]


def test_a_name_stands_off_the_object_where_there_is_room():
    fig, axes = plt.subplots(1, 3, figsize=(6, 2), layout="constrained")
    boxes = torch.tensor([[5.0, 2.0, 30.0, 25.0], [10.0, 14.0, 38.0, 29.0]])
    for ax in axes:
        plotting.show_image(ax, IMAGE, "title")
        plotting.draw_boxes(ax, boxes, [1, 2], NAMES)
    fig.canvas.draw()
    for ax in axes:
        high, low = ax.texts
        assert (high.get_va(), low.get_va()) == ("top", "bottom")
        place, panel = low.get_window_extent(), ax.get_window_extent()
        assert place.y0 >= ax.transData.transform((0, 13.5))[1] - 1, "above its box"
        assert place.y1 <= panel.y1, "in the picture"


def test_heatmap_covers_the_image_exactly_and_names_its_colours():
    fig, ax = plt.subplots()
    image = torch.zeros((3, 30, 40), dtype=torch.uint8)
    plotting.heatmap(ax, torch.rand(1, 1, 3, 4), "attention (1)", image)
    assert [list(drawn.get_extent()) for drawn in ax.images] == [[-0.5, 39.5, 29.5, -0.5]] * 2
    assert ax.child_axes[0].get_ylabel() == "attention (1)"
    plotting.heatmap(ax, torch.rand(5, 6), "attention (1)", image, stride=8)
    # Cell 0 is centred on pixel 0 and reaches 4 pixels to each side; the picture stays as it is.
    assert list(ax.images[-1].get_extent()) == [-4, 44, 36, -4]
    assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 39.5), (29.5, -0.5))
    with pytest.raises(ValueError, match="label"):
        plotting.heatmap(ax, torch.rand(3, 4), "")


def test_line_plot_wants_labels_and_equal_lengths():
    _, ax = plt.subplots()
    plotting.line_plot(ax, [0, 1], {"a": [1, 2], "b": [2, 1]}, "iteration", "loss (nats)")
    assert len({line.get_marker() for line in ax.lines}) == 2
    assert ax.get_ylabel() == "loss (nats)"
    with pytest.raises(ValueError, match="'a' has 3 values for 2"):
        plotting.line_plot(ax, [0, 1], {"a": [1, 2, 3]}, "x", "y")
    with pytest.raises(ValueError, match="quantity and unit"):
        plotting.line_plot(ax, [0, 1], {"a": [1, 2]}, "", "y")


def test_a_loss_has_one_colour_in_every_plot():
    colours = plotting.LOSS_COLOURS
    assert colours["crf"] == colours["cross-entropy"]
    variants = {"cross-entropy": "crf", "generalised": "crf", "symmetric": "crf"}
    variants |= {"nal-per-class": "nal"}
    assert all(colours[name] == colours[loss] for name, loss in variants.items())
    assert len(set(colours.values())) == len(colours) - len(variants)
    for names in (["nal", "crf", "truth"], ["bootstrap", "nal"]):
        _, ax = plt.subplots()
        plotting.line_plot(ax, [0, 1], {name: [1, 2] for name in names}, "x", "y")
        assert [line.get_color() for line in ax.lines] == [colours[name] for name in names]
    _, ax = plt.subplots()
    plotting.line_plot(ax, [0, 1], {"nal": [1, 2], "Y_crf right": [2, 1]}, "x", "y")
    assert ax.lines[0].get_color() != ax.lines[1].get_color()


def test_grid_refuses_what_does_not_fit():
    image = np.zeros((4, 6, 3), dtype=np.uint8)
    assert len(plotting.image_grid([[image, image]], ["a", "b"], ["c"]).axes) == 2
    with pytest.raises(ValueError, match="equally long"):
        plotting.image_grid([[image], [image, image]])
    with pytest.raises(ValueError, match="column_titles has 1 entries for 2"):
        plotting.image_grid([[image, image]], ["a"])


@pytest.mark.parametrize(
    "image",
    [torch.zeros(3, 4, 4), torch.zeros(4, 4, 3, dtype=torch.uint8), np.zeros((4, 4), np.uint8)],
    ids=["float", "channels last", "grey"],
)
def test_images_of_another_kind_are_refused(image):
    with pytest.raises(ValueError, match="image must be"):
        plotting.to_rgb(image)


@pytest.fixture
def shown(monkeypatch):
    """What a kernel would put into the notebook: data and metadata by kind."""

    def show(fig, alt):
        displayed = []
        monkeypatch.setattr(plotting, "display", displayed.append)
        plotting.show(fig, alt)
        return DisplayFormatter().format(displayed[0])

    return show


def line_figure():
    fig, ax = plt.subplots()
    ax.plot([1, 2, 3])
    return fig


def test_show_describes_closes_and_repeats_its_bytes(shown):
    first = line_figure()
    data, metadata = shown(first, "A line\n that rises")
    assert metadata["image/png"]["alt"] == "A line that rises"
    assert plt.get_fignums() == []
    assert shown(line_figure(), "A line that rises")[0]["image/png"] == data["image/png"]


def test_show_turns_photographs_into_jpeg(shown):
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    fig = plotting.image_grid([[noise, noise]])
    data, metadata = shown(fig, "noise")
    assert Image.open(io.BytesIO(base64.b64decode(data["image/jpeg"]))).format == "JPEG"
    assert metadata["image/jpeg"]["alt"] == "noise"


def test_show_refuses_a_figure_without_description():
    with pytest.raises(ValueError, match="alt"):
        plotting.show(line_figure(), " ")


NAMES = ["background", "cat", "dog", "tree"]
IMAGE = torch.zeros(3, 30, 40, dtype=torch.uint8)


def colour_of(palette, label):
    return tuple(float(part) for part in palette[label] / 255)


def test_each_box_has_the_colour_and_the_name_of_its_class():
    palette = plotting.label_palette(3)
    _, ax = plt.subplots()
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [10.0, 5.0, 20.0, 25.0]])
    plotting.draw_boxes(ax, boxes, [3, 1], NAMES)
    white, inner = ax.patches[::2], ax.patches[1::2]
    for patch, text, box, label in zip(inner, ax.texts, boxes.tolist(), (3, 1), strict=True):
        assert patch.get_edgecolor()[:3] == pytest.approx(colour_of(palette, label))
        assert patch.get_xy() == (box[0] - 0.5, box[1] - 0.5)
        assert (patch.get_width(), patch.get_height()) == (box[2] - box[0], box[3] - box[1])
        assert text.get_text() == NAMES[label]
        assert text.get_position() == (box[0] - 0.5, box[1] - 0.5)
        assert (text.get_va(), text.get_ha()) == ("top", "left"), "inside its box"
        face = text.get_bbox_patch().get_facecolor()
        assert face[:3] == pytest.approx(colour_of(palette, label))
    assert not any(patch.get_fill() for patch in ax.patches)
    # A white rim keeps a box visible on a ground of its own colour.
    assert all(patch.get_edgecolor()[:3] == (1, 1, 1) for patch in white)
    assert all(w.get_linewidth() > i.get_linewidth() for w, i in zip(white, inner, strict=True))


def test_names_are_legible_on_their_colour():
    palette = plotting.label_palette(8)
    _, ax = plt.subplots()
    names = ["background", *"abcdefgh"]
    plotting.draw_boxes(ax, torch.tensor([[0.0, 0.0, 4.0, 4.0]] * 8), list(range(1, 9)), names)
    for text, label in zip(ax.texts, range(1, 9), strict=True):
        ink = {"white": 1.0, "black": 0.0}[text.get_color()]
        ground = luminance(palette[label])
        lighter, darker = max(ink, ground), min(ink, ground)
        assert (lighter + 0.05) / (darker + 0.05) > 3


def test_a_palette_that_is_given_is_used():
    palette = plotting.label_palette(3)[::-1].copy()
    _, ax = plt.subplots()
    plotting.draw_boxes(ax, torch.tensor([[0.0, 0.0, 4.0, 4.0]]), [1], NAMES, palette)
    assert ax.patches[1].get_edgecolor()[:3] == pytest.approx(colour_of(palette, 1))


def test_heatmap_shows_its_values_between_its_limits():
    values = torch.arange(12.0).reshape(1, 3, 4) / 10
    for limits, expected in (((0.0, 1.0), (0.0, 1.0)), ((0.2, 0.6), (0.2, 0.6)), (None, (0, 1.1))):
        fig, ax = plt.subplots()
        plotting.heatmap(ax, values, "attention (1)", limits=limits, title="A")
        assert np.array_equal(ax.images[0].get_array(), values[0].numpy())
        assert ax.images[0].get_clim() == pytest.approx(expected)
        assert ax.get_title() == "A"
        (bar,) = ax.child_axes
        assert bar.get_ylim() == pytest.approx(expected)
    plain, ax = plt.subplots()
    plotting.heatmap(ax, values, "attention (1)")
    assert ax.images[0].get_clim() == (0.0, 1.0), "0 to 1 where nothing is said"
    assert ax.images[0].get_alpha() == 1.0


def test_panels_of_a_row_are_of_one_size_with_a_bar_or_without():
    with plt.rc_context():
        plotting.use_style()
        image = np.zeros((30, 40, 3), dtype=np.uint8)
        fig, axes = plt.subplots(1, 3, figsize=(9, 3))
        plotting.show_image(axes[0], image, "image")
        plotting.heatmap(axes[1], torch.rand(30, 40), "attention (1)", title="A")
        plotting.heatmap(axes[2], torch.rand(3, 4), "a longer name (1)", image, title="$1 - A$")
        fig.savefig(io.BytesIO())
        panels = [ax.get_window_extent() for ax in axes]
        bars = [ax.child_axes[0].get_window_extent() for ax in axes[1:]]
    for panel in panels[1:]:
        for side in ("width", "height", "y1"):
            assert getattr(panel, side) == pytest.approx(getattr(panels[0], side), abs=3)
    for bar, panel in zip(bars, panels[1:], strict=True):
        assert (bar.y0, bar.y1) == pytest.approx((panel.y0, panel.y1))
        assert bar.x0 > panel.x1


def test_heatmap_lies_over_the_grey_photograph():
    image = torch.stack([torch.full((30, 40), v, dtype=torch.uint8) for v in (30, 60, 90)])
    _, ax = plt.subplots()
    plotting.heatmap(ax, torch.rand(3, 4), "attention (1)", image)
    below, above = ax.images
    assert np.unique(below.get_array()) == pytest.approx(60)
    assert below.get_cmap().name == "gray" and below.get_clim() == (0, 255)
    assert 0 < above.get_alpha() < 1
    assert above.colorbar is not None and below.colorbar is None
    assert above.colorbar.ax.get_ylabel() == "attention (1)"
    assert above.get_zorder() >= below.get_zorder()


def test_a_grid_has_every_picture_and_title_at_its_place():
    rows = [[np.full((4, 6, 3), 10 * i + j, dtype=np.uint8) for j in range(3)] for i in range(2)]
    fig = plotting.image_grid(rows, ["a", "b", "c"], ["first", "second"])
    axes = np.array(fig.axes).reshape(2, 3)
    shown = [[int(ax.images[0].get_array().flat[0]) for ax in row] for row in axes]
    assert shown == [[0, 1, 2], [10, 11, 12]]
    assert [[ax.get_title() for ax in row] for row in axes] == [["a", "b", "c"], ["", "", ""]]
    assert [[t.get_text() for t in ax.texts] for ax in axes[:, 0]] == [["first"], ["second"]]
    assert not any(ax.texts for ax in axes[:, 1:].flat)
    for ax in axes[:, 0]:
        (title,) = ax.texts
        assert title.get_position()[0] < 0 and title.get_transform() == ax.transAxes
        assert (title.get_rotation(), title.get_ha(), title.get_va()) == (90, "right", "center")
    fig.canvas.draw()
    places = [[ax.get_position() for ax in row] for row in axes]
    assert all(row[0].x0 < row[1].x0 < row[2].x0 for row in places)
    assert places[0][0].y0 > places[1][0].y0


def test_a_row_of_a_grid_is_as_high_as_its_highest_picture():
    wide, square, tall = (np.zeros((h, w, 3), np.uint8) for h, w in ((4, 8), (6, 6), (9, 6)))
    fig = plotting.image_grid([[wide, square], [tall, square], [wide, wide]], width=2.0)
    heights = fig.axes[0].get_gridspec().get_height_ratios()
    assert heights == pytest.approx([2.0, 3.0, 1.0])
    # The rest is for the titles of the columns.
    assert fig.get_size_inches() == pytest.approx([2 * 2.0, 6.0 + 0.3])
    assert len(fig.axes) == 6


def test_an_image_is_shown_as_it_is():
    image = torch.arange(3 * 4 * 5, dtype=torch.uint8).reshape(3, 4, 5)
    _, ax = plt.subplots()
    plotting.show_image(ax, image, "scene")
    assert np.array_equal(ax.images[0].get_array(), image.permute(1, 2, 0).numpy())
    assert ax.get_title() == "scene" and not ax.axison


def test_legend_names_each_colour():
    palette = plotting.label_palette(3)
    fig = plotting.image_grid([[IMAGE]])
    plotting.class_legend(fig, [3, 0, 1, 255], NAMES, palette, white="unreliable")
    (legend,) = fig.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named == ["tree", "background", "cat", "unreliable"]
    for patch, label in zip(legend.get_patches(), (3, 0, 1, 255), strict=True):
        assert patch.get_facecolor()[:3] == pytest.approx(colour_of(palette, label))
        assert patch.get_edgecolor()[3] > 0 and max(patch.get_edgecolor()[:3]) < 0.6, "on white"
    other = plotting.image_grid([[IMAGE]])
    plotting.class_legend(other, [255], NAMES, palette)
    assert [text.get_text() for text in other.legends[0].get_texts()] == ["ignored"]


def test_legend_is_below_the_pictures():
    plotting.use_style()
    fig = plotting.image_grid([[IMAGE, IMAGE]])
    plotting.class_legend(fig, [0, 1, 2], NAMES, plotting.label_palette(3))
    fig.canvas.draw()
    top = fig.legends[0].get_window_extent().y1
    assert all(top < ax.get_window_extent().y0 for ax in fig.axes)


def test_the_projects_look_is_on_what_is_drawn_after_it():
    plotting.use_style()
    _, ax = plt.subplots()
    lines = [ax.plot([0, 1], [0, number])[0] for number in range(7)]
    colours = [tuple(round(255 * part) for part in to_rgb(line.get_color())) for line in lines]
    yellow, pale_green, grey = (240, 228, 66), (180, 240, 180), (108, 108, 108)
    seen = set(CLASS_COLOURS) - {yellow, pale_green} | {grey}
    assert set(colours) == seen, "a yellow line is not seen on white, nor a pale green one"
    plotting.heatmap(ax, torch.rand(3, 4), "attention (1)")
    (drawn,) = ax.images
    assert (drawn.get_cmap().name, drawn.get_interpolation()) == ("cividis", "nearest")
    assert luminance(255 * np.array(drawn.get_cmap()(0.0)[:3])) < 0.1, "dark is little"


def test_lines_are_the_series_that_their_names_say():
    plotting.use_style()
    _, ax = plt.subplots()
    series = {"gap": [1.0, 2.0, 3.0], "bap": [3.0, 2.0, 1.0]}
    plotting.line_plot(ax, [0, 10, 20], series, "iteration", "loss (nats)", "Training")
    for line, (name, values) in zip(ax.lines, series.items(), strict=True):
        assert line.get_label() == name
        assert line.get_xdata().tolist() == [0, 10, 20] and line.get_ydata().tolist() == values
    assert len({line.get_color() for line in ax.lines}) == 2
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == (
        "iteration",
        "loss (nats)",
        "Training",
    )
    entries = ax.get_legend()
    assert [text.get_text() for text in entries.get_texts()] == ["gap", "bap"]
    colours = [handle.get_color() for handle in entries.get_lines()]
    assert colours == [line.get_color() for line in ax.lines]
    _, alone = plt.subplots()
    plotting.line_plot(alone, [0, 1], {"gap": [1, 2]}, "iteration", "loss (nats)")
    assert alone.get_legend() is None


def test_forest_plot_tells_apart_what_is_told_apart():
    _, ax = plt.subplots()
    differences = {"a - b": (1.0, 0.5, 1.5), "a - c": (0.25, -0.5, 1.0), "d - a": (-2, -3, -1)}
    plotting.forest_plot(ax, differences, "mIoU (points)")
    zero, *drawn = ax.lines
    assert zero.get_xdata() == [0, 0]
    faces = []
    for row, (name, (mean, low, high)) in enumerate(differences.items()):
        interval, point = drawn[2 * row : 2 * row + 2]
        assert list(interval.get_xdata()) == [low, high]
        assert list(interval.get_ydata()) == [row, row]
        assert list(point.get_xdata()) == [mean] and list(point.get_ydata()) == [row]
        assert ax.get_yticklabels()[row].get_text() == name
        faces.append(point.get_markerfacecolor())
    assert faces[1] == "white" and faces[0] == faces[2] != "white"
    assert ax.yaxis_inverted()
    assert ax.get_xlabel() == "mIoU (points)\nhollow: the interval holds zero"
    for wrong in (({}, "mIoU (points)"), (differences, "")):
        with pytest.raises(ValueError, match="quantity and unit"):
            plotting.forest_plot(ax, *wrong)


def test_masks_are_coloured_class_by_class():
    palette = plotting.label_palette(3)
    mask = torch.tensor([[0, 1], [3, 255]], dtype=torch.uint8)
    drawn = plotting.colour_mask(mask, palette)
    for (row, column), label in np.ndenumerate(mask.numpy()):
        assert drawn[row, column].tolist() == palette[label].tolist()
