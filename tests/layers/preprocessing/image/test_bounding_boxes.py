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
