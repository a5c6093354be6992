"""Boxes, masks and galleries: pixels by hand, and Keras's where it draws without OpenCV."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import torchkeras as keras

view = keras.visualization
BLACK = np.zeros((2, 12, 10, 3), "float32")


def boxes(values, labels=None, **more):
    values = np.array(values, "float32")
    labels = np.zeros(values.shape[:2], "int32") if labels is None else np.array(labels)
    return {"boxes": values, "labels": labels, **more}


@pytest.mark.parametrize(
    ("box_format", "box"),
    [
        ("xyxy", [2, 3, 6, 9]),
        ("yxyx", [3, 2, 9, 6]),
        ("xywh", [2, 3, 4, 6]),
        ("center_xywh", [4, 6, 4, 6]),
        ("center_yxhw", [6, 4, 6, 4]),
        ("rel_xyxy", [0.2, 0.25, 0.6, 0.75]),
        ("rel_center_xywh", [0.4, 0.5, 0.4, 0.5]),
    ],
)
def test_frames_are_drawn_in_every_format(box_format, box):
    drawn = view.draw_bounding_boxes(
        BLACK, boxes([[box]] * 2), box_format, color=(1, 2, 3), line_thickness=1
    )
    expected = np.zeros((12, 10), bool)
    expected[3:10, 2:7] = True
    expected[4:9, 3:6] = False
    assert drawn.dtype == np.uint8
    for image in drawn:
        np.testing.assert_array_equal(image, expected[..., None] * np.array([1, 2, 3]))


def test_boxes_outside_and_missing_ones_and_thick_lines():
    data = boxes([[[-3, -3, 4, 4], [0, 0, 9, 9]], [[8, 8, 30, 30], [0, 0, 0, 0]]], [[0, -1]] * 2)
    drawn = view.draw_bounding_boxes(torch.zeros(2, 12, 10, 3), data, "xyxy", line_thickness=2)
    first = np.zeros((12, 10), bool)
    first[3:5, :5] = first[:5, 3:5] = True
    np.testing.assert_array_equal(drawn[0, ..., 0] > 0, first)
    second = np.zeros((12, 10), bool)
    second[7:9, 7:] = second[7:, 7:9] = True
    np.testing.assert_array_equal(drawn[1, ..., 0] > 0, second)


def test_images_keep_their_values_and_layouts():
    images = np.random.RandomState(0).rand(1, 12, 10, 3).astype("float32")
    none = boxes([[[0, 0, 1, 1]]], [[-1]])
    drawn = view.draw_bounding_boxes(images, none, "xyxy")
    np.testing.assert_array_equal(drawn, (images * 255).astype("uint8"))
    first = view.draw_bounding_boxes(
        images.transpose(0, 3, 1, 2), none, "xyxy", data_format="channels_first"
    )
    np.testing.assert_array_equal(first, drawn)


def test_names_are_written_above_or_inside():
    pytest.importorskip("PIL")
    black = np.zeros((1, 100, 120, 3), "uint8")
    options = {"class_mapping": {0: "cat"}, "color": (255, 0, 0)}
    low = boxes([[[20, 60, 100, 95]]], confidences=np.array([[0.5]]))
    drawn = view.draw_bounding_boxes(black, low, "xyxy", **options)
    assert drawn[0, 30:58, 20:, 0].any() and not drawn[..., 1:].any()
    high = boxes([[[20, 5, 110, 95]]])
    drawn = view.draw_bounding_boxes(black, high, "xyxy", **options)
    assert drawn[0, 8:40, 24:100, 0].any()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("blend", [True, False])
@pytest.mark.parametrize("mapping", [None, {0: (9, 8, 7), 1: (0, 50, 0), 2: (1, 1, 200)}])
def test_masks_are_those_of_keras(blend, mapping):
    real = pytest.importorskip("keras")
    generator = np.random.RandomState(0)
    images = generator.randint(0, 256, (2, 6, 5, 3)).astype("uint8")
    masks = generator.randint(0, 3, (2, 6, 5, 1))
    options = {"num_classes": 3, "color_mapping": mapping, "blend": blend, "ignore_index": 2}
    mine = view.draw_segmentation_masks(images, masks, **options)
    theirs = np.asarray(real.visualization.draw_segmentation_masks(images, masks, **options))
    assert mine.shape == theirs.shape and mine.dtype == theirs.dtype
    # A float32 just below or above an integer is cut off to another one.
    assert np.abs(mine.astype(int) - theirs.astype(int)).max() <= 1
    flat = view.draw_segmentation_masks(images, masks[..., 0], **options)
    np.testing.assert_array_equal(flat, mine)
    first = view.draw_segmentation_masks(
        images.transpose(0, 3, 1, 2),
        masks.transpose(0, 3, 1, 2),
        data_format="channels_first",
        **options,
    )
    np.testing.assert_array_equal(first, mine)


def test_all_classes_are_colored_where_their_number_is_open():
    masks = np.array([[[[0], [1], [2]]]])
    colors = {index: (index + 1, 0, 0) for index in range(3)}
    drawn = view.draw_segmentation_masks(
        np.zeros((1, 1, 3, 3)), masks, color_mapping=colors, alpha=1.0
    )
    assert drawn[0, 0, :, 0].tolist() == [1, 2, 3]


def saved(tmp_path, plot):
    image = pytest.importorskip("matplotlib.image")
    path = tmp_path / "gallery.png"
    plot(path)
    return image.imread(path)


def colors_in(picture):
    return {tuple(c) for c in np.round(picture[..., :3].reshape(-1, 3) * 255).astype(int)}


def test_a_gallery_has_room_for_all(tmp_path):
    images = np.stack([np.full((8, 8, 3), 40 * i, "float32") for i in range(1, 6)])
    for data, options in (
        (images, {}),
        (images / 255, {"value_range": (0, 1)}),
        (images.transpose(0, 3, 1, 2), {"data_format": "channels_first"}),
        (torch.tensor(images), {"rows": 1}),
    ):
        picture = saved(
            tmp_path, lambda path, x=data, o=options: view.plot_image_gallery(x, path=path, **o)
        )
        assert {(40 * i,) * 3 for i in range(1, 6)} <= colors_in(picture)


def test_titles_and_legends(tmp_path):
    images = np.zeros((2, 8, 8, 3))
    plain = saved(tmp_path, lambda path: view.plot_image_gallery(images, path=path))
    titled = saved(
        tmp_path,
        lambda path: view.plot_image_gallery(
            images, y_true=[0, 1], y_pred=[1, 5], label_map={0: "a", 1: "b"}, path=path
        ),
    )
    assert titled.shape != plain.shape
    data = boxes([[[2, 2, 12, 12]]] * 2)
    picture = saved(
        tmp_path,
        lambda path: view.plot_bounding_box_gallery(
            np.zeros((2, 16, 16, 3)), "xyxy", y_true=data, y_pred=data, legend=True, path=path
        ),
    )
    assert (255, 235, 59) in colors_in(picture) and (0, 188, 212) in colors_in(picture)


def test_masks_stand_beside_their_images(tmp_path):
    masks = np.ones((2, 8, 8, 1), "int32")
    colors = {0: (0, 0, 0), 1: (10, 200, 30)}
    picture = saved(
        tmp_path,
        lambda path: view.plot_segmentation_mask_gallery(
            np.full((2, 8, 8, 3), 100.0),
            2,
            y_true=masks,
            y_pred=masks,
            color_mapping=colors,
            alpha=1.0,
            path=path,
        ),
    )
    assert {(100, 100, 100), (10, 200, 30)} <= colors_in(picture)
    assert picture.shape[1] > picture.shape[0]


def test_errors():
    for wrong, error, message in [
        (lambda: view.draw_bounding_boxes(BLACK[0], boxes([[]]), "xyxy"), ValueError, "4D tensor"),
        (lambda: view.draw_bounding_boxes(BLACK, [1], "xyxy"), TypeError, "should be a dict"),
        (lambda: view.draw_bounding_boxes(BLACK, {}, "xyxy"), ValueError, "'boxes' and 'labels'"),
        (
            lambda: view.draw_bounding_boxes(BLACK, boxes([[[0, 0, 1, 1]]] * 2), "xxyy"),
            ValueError,
            "'xxyy'",
        ),
        (
            lambda: view.draw_segmentation_masks(BLACK, np.zeros((2, 12, 10, 1))),
            TypeError,
            "integer dtype.*float64",
        ),
        (lambda: view.plot_image_gallery(BLACK, path="x", show=True), ValueError, "or shown"),
        (lambda: view.plot_image_gallery(BLACK, y_true=[0, 1]), ValueError, "`label_map` must"),
        (
            lambda: view.plot_bounding_box_gallery(BLACK, "xyxy", legend=True, legend_handles=[1]),
            ValueError,
            "Only pass `legend` OR",
        ),
    ]:
        with pytest.raises(error, match=message):
            wrong()


def test_matplotlib_is_imported_when_used():
    code = (
        "import sys, torchkeras as k, numpy as np\n"
        "assert 'matplotlib' not in sys.modules and 'PIL' not in sys.modules\n"
        "sys.modules['matplotlib'] = None\n"
        "try: k.visualization.plot_image_gallery(np.zeros((1, 2, 2, 3)), path='x.png')\n"
        "except ImportError as e: assert 'pip install \"torchkeras[visualization]\"' in str(e), e\n"
        "else: raise SystemExit(1)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=100).returncode == 0
