import pytest
import torch

from torchkeras.layers.preprocessing.image.bounding_boxes.batches import dense_boxes
from torchkeras.layers.preprocessing.image.bounding_boxes.formats import FORMATS
from torchkeras.utils import bounding_boxes

# One box of an image 100 wide and 50 high.
IN_FORMATS = {
    "xyxy": (10.0, 20.0, 30.0, 45.0),
    "yxyx": (20.0, 10.0, 45.0, 30.0),
    "xywh": (10.0, 20.0, 20.0, 25.0),
    "center_xywh": (20.0, 32.5, 20.0, 25.0),
    "center_yxhw": (32.5, 20.0, 25.0, 20.0),
    "rel_xyxy": (0.1, 0.4, 0.3, 0.9),
    "rel_yxyx": (0.4, 0.1, 0.9, 0.3),
    "rel_xywh": (0.1, 0.4, 0.2, 0.5),
    "rel_center_xywh": (0.2, 0.65, 0.2, 0.5),
}


@pytest.mark.parametrize("source", FORMATS)
def test_every_format_in_every_other(source):
    for target in FORMATS:
        boxes = torch.tensor([[IN_FORMATS[source]]])
        out = bounding_boxes.convert_format(boxes, source.upper(), target, height=50, width=100)
        torch.testing.assert_close(out, torch.tensor([[IN_FORMATS[target]]]))


@pytest.mark.parametrize("name", FORMATS)
def test_clip_in_every_format(name):
    boxes = torch.tensor([[[-5.0, 10.0, 5.0, 60.0], [110.0, 0.0, 120.0, 10.0]]])
    expected = torch.tensor([[[0.0, 10.0, 5.0, 50.0], [100.0, 0.0, 100.0, 10.0]]])
    given = bounding_boxes.convert_format(boxes, "xyxy", name, height=50, width=100)
    data = {"boxes": given, "labels": torch.tensor([[1, 2]]), "scores": 3}
    out = bounding_boxes.clip_to_image_size(data, 50, 100, name)
    back = bounding_boxes.convert_format(out["boxes"], name, "xyxy", height=50, width=100)
    torch.testing.assert_close(back, expected, rtol=0, atol=1e-4)
    assert out["labels"].tolist() == [[1, -1]] and out["scores"] == 3
    assert data["boxes"] is given and data["labels"].tolist() == [[1, 2]]


def test_a_dict_is_copied():
    data = {"boxes": torch.tensor([[1.0, 2.0, 3.0, 4.0]]), "labels": torch.tensor([1])}
    out = bounding_boxes.convert_format(data, "xyxy", "yxyx")
    assert data["boxes"].tolist() == [[1, 2, 3, 4]] and out["boxes"].tolist() == [[2, 1, 4, 3]]


def test_lists_of_unequal_length_are_filled_up():
    out = dense_boxes({"boxes": [[], [[1, 2, 3, 4], [5, 6, 7, 8]]], "labels": [[], [7, 8]]})
    assert out["boxes"].tolist() == [[[0] * 4] * 2, [[1, 2, 3, 4], [5, 6, 7, 8]]]
    assert out["labels"].tolist() == [[-1, -1], [7, 8]] and out["labels"].dtype is torch.int32
    single = dense_boxes({"boxes": [[1, 2, 3, 4]], "labels": [7]})
    assert single["boxes"].shape == (1, 4)
    assert dense_boxes({"boxes": [], "labels": []})["boxes"].shape == (0, 4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bounding_boxes.convert_format(torch.ones(1, 4), "xyxy", "ltrb"), "`target`"),
        (lambda: bounding_boxes.convert_format(torch.ones(1, 3), "xyxy", "xywh"), "last axis"),
        (lambda: bounding_boxes.convert_format(torch.ones(4), "xyxy", "rel_xyxy"), "height=None"),
        (lambda: bounding_boxes.clip_to_image_size({"boxes": torch.ones(1, 4)}), "height=None"),
        (lambda: dense_boxes({"boxes": torch.ones(1, 4)}), "keys 'boxes' and 'labels'"),
        (lambda: dense_boxes({"boxes": torch.ones(2, 4), "labels": torch.ones(3)}), "label"),
        (lambda: dense_boxes({"boxes": [[[1, 2, 3, 4]]], "labels": [[]]}), "as many labels"),
    ],
)
def test_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# One function against another way to the same


def test_deltas_lead_back():
    anchors = torch.tensor([[10.0, 10, 30, 50], [0, 0, 8, 8]])
    boxes = torch.tensor([[[12.0, 8, 40, 45], [1, 2, 5, 4]], [[10, 10, 30, 50], [0, 0, 8, 8]]])
    for encoding in ("center_xywh", "center_yxhw"):
        for variance in (None, [0.1, 0.1, 0.2, 0.2]):
            deltas = bounding_boxes.encode_box_to_deltas(
                anchors, boxes, "xyxy", "xyxy", encoding, variance
            )
            torch.testing.assert_close(deltas[1], torch.zeros(2, 4))
            back = bounding_boxes.decode_deltas_to_boxes(
                anchors, deltas, "xyxy", "xyxy", encoding, variance
            )
            torch.testing.assert_close(back, boxes)
    levels = bounding_boxes.decode_deltas_to_boxes(
        {"P3": anchors}, {"P3": deltas}, "xyxy", "rel_xyxy", encoding, variance, (50, 100, 3)
    )
    torch.testing.assert_close(levels["P3"] * torch.tensor([100.0, 50, 100, 50]), boxes)


def test_overlap_by_counting_pixels():
    generator = torch.Generator().manual_seed(0)
    corners = torch.randint(0, 12, (2, 5, 2, 2), generator=generator).sort(2).values
    corners[:, :, 1] += 1
    boxes = corners.flatten(2).float()
    y, x = torch.meshgrid(torch.arange(13), torch.arange(13), indexing="ij")
    x0, y0, x1, y1 = (n[..., None, None] for n in boxes.unbind(-1))
    pixels = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    first, second = pixels[0, :, None], pixels[1, None]
    expected = (first & second).sum((-2, -1)) / (first | second).sum((-2, -1))
    for a, b in ((boxes[0], boxes[1]), (boxes[:1], boxes[1]), (boxes[0], boxes[1:])):
        found = bounding_boxes.compute_iou(a, b, "xyxy")
        torch.testing.assert_close(found.reshape(5, 5), expected)
    swapped = bounding_boxes.convert_format(boxes, "xyxy", "rel_yxyx", 13, 13)
    found = bounding_boxes.compute_iou(*swapped, "rel_yxyx", image_shape=(13, 13, 3))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_masked_pairs():
    boxes = torch.tensor([[0.0, 0, 2, 2], [-1, -1, -1, -1]])
    found = bounding_boxes.compute_iou(boxes[None], boxes, "xyxy", use_masking=True, mask_val=-2)
    torch.testing.assert_close(found, torch.tensor([[[1.0, -2], [-2, -2]]]))


def test_complete_overlap_in_parts_of_the_image():
    a, b = torch.tensor([1.0, 2, 4, 5]), torch.tensor([2.0, 2, 7, 4])
    expected = bounding_boxes.compute_ciou(a, b, "xyxy")
    parts = torch.tensor([20.0, 10, 20, 10])
    found = bounding_boxes.compute_ciou(a / parts, b / parts, "rel_xyxy", (10, 20, 3))
    torch.testing.assert_close(found, expected)
    with pytest.raises(ValueError, match="image_shape=None"):
        bounding_boxes.compute_ciou(a, b, "rel_xyxy")


def test_crops_and_borders_in_other_formats():
    boxes = torch.tensor([[[1.0, 2, 4, 5], [0, 0, 9, 9]]])
    given = bounding_boxes.convert_format(boxes, "xyxy", "center_xywh")
    cut = bounding_boxes.crop(given, 1, 2, 4, 5, "center_xywh")
    expected = torch.tensor([[[0.0, 1, 2, 4], [0, 0, 5, 4]]])
    torch.testing.assert_close(bounding_boxes.convert_format(cut, "center_xywh", "xyxy"), expected)
    moved = bounding_boxes.pad(given, 1, 2, bounding_box_format="center_xywh")
    torch.testing.assert_close(moved, given + torch.tensor([2.0, 1, 0, 0]))
    for function, sizes in ((bounding_boxes.crop, (4, 5)), (bounding_boxes.pad, ())):
        with pytest.raises(ValueError, match="in pixels"):
            function(boxes, 1, 2, *sizes, bounding_box_format="rel_xyxy")


def test_one_image_and_a_batch_are_moved_alike():
    boxes = torch.tensor([[1.0, 2, 4, 5], [0, 0, 9, 9]])
    args = 30.0, 0.1, 0.2, 1.5, 5.0, 3.0, 10, 12
    alone = bounding_boxes.affine_transform(boxes, *args)
    batch = [torch.full((3,), x) for x in args[:6]]
    together = bounding_boxes.affine_transform(boxes.expand(3, 2, 4), *batch, *args[6:])
    torch.testing.assert_close(together, alone.expand(3, 2, 4))
