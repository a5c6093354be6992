import torch

from tests.layers.preprocessing.image.support import image_case, sample
from tests.testing import layer_cases
from torchkeras import layers, ops

CASES = {
    "crop": image_case(
        layers.CenterCrop,
        {"height": 3, "width": 2},
        (2, 6, 5, 3),
        expected_output_shape=(2, 3, 2, 3),
    ),
    "smaller images": image_case(
        layers.CenterCrop,
        {"height": 8, "width": 4, "data_format": "channels_first"},
        (3, 6, 5),
        dynamic_batch=False,
    ),
}


@layer_cases(CASES)
def test_contract(check):
    check()


def test_the_middle():
    data = sample(size=(7, 8))
    data["bounding_boxes"]["boxes"] = torch.tensor([[[0.0, 3, 4, 5], [0, 0, 1, 1]]]).expand(2, 2, 4)
    out = layers.CenterCrop(4, 4, bounding_box_format="xyxy")(data)
    assert torch.equal(out["images"], data["images"][:, 1:5, 2:6])
    assert torch.equal(out["segmentation_masks"], data["segmentation_masks"][:, 1:5, 2:6])
    assert out["bounding_boxes"]["boxes"][0, 0].tolist() == [0.0, 2.0, 2.0, 4.0]
    assert out["bounding_boxes"]["labels"].tolist() == [[3, -1]] * 2


def test_smaller_images_are_resized():
    data = sample(size=(4, 8))
    out = layers.CenterCrop(8, 8, bounding_box_format="xyxy")(data)
    middle = data["images"][:, :, 2:6]
    torch.testing.assert_close(out["images"], ops.image.resize(middle, (8, 8)))
    expected = ops.image.resize(data["segmentation_masks"][:, :, 2:6], (8, 8), "nearest")
    assert torch.equal(out["segmentation_masks"], expected)
    box = [0.0, 4.0, 4.0, 8.0]  # of [1, 2, 4, 5], cut at column 2 and row 4
    assert out["bounding_boxes"]["boxes"][0, 0].tolist() == box
