"""Meshes and layouts by Keras's rules; what they make of tensors is among the launched tests."""

import pytest

from torchkeras.distribution import DeviceMesh, LayoutMap, ModelParallel, TensorLayout

DEVICES = [f"cpu:{i}" for i in range(4)]


def test_mesh():
    mesh = DeviceMesh((2, 2), ["batch", "model"], DEVICES)
    assert mesh.shape == (2, 2) and mesh.axis_names == ["batch", "model"]
    assert mesh.devices.tolist() == [["cpu:0", "cpu:1"], ["cpu:2", "cpu:3"]]


@pytest.mark.parametrize(
    "shape, names, problem",
    [
        ((2, 2), ["batch"], "a size and a name"),
        ((), [], "a size and a name"),
        ((3,), ["batch"], "every device once"),
    ],
)
def test_mesh_that_does_not_fit(shape, names, problem):
    with pytest.raises(ValueError, match=problem):
        DeviceMesh(shape, names, DEVICES)


def test_layouts_by_pattern():
    mesh = DeviceMesh((2, 2), ["batch", "model"], DEVICES)
    layouts = LayoutMap(mesh)
    layouts[".*dense.*kernel"] = (None, "model")
    layouts[".*dense.*bias"] = TensorLayout(("model",))
    layouts["special/dense/kernel"] = ("model", None)
    assert layouts["model/dense_1/kernel"].axes == (None, "model")
    assert layouts["model/dense_1/bias"].device_mesh is mesh
    assert layouts["special/dense/kernel"].axes == ("model", None)  # the very path counts first
    assert layouts["model/dense_1/kernel_2"] is None  # a pattern matches the whole of a path
    assert len(layouts) == 3 and list(layouts)[0] == ".*dense.*kernel"
    del layouts["special/dense/kernel"]
    assert layouts["special/dense/kernel"].axes == (None, "model")


def test_layouts_that_are_refused():
    mesh = DeviceMesh((2, 2), ["batch", "model"], DEVICES)
    layouts = LayoutMap(mesh)
    layouts[".*kernel"] = (None, "model")
    with pytest.raises(ValueError, match="set once"):
        layouts[".*kernel"] = (None, "model")
    layouts["dense.*"] = ("model", None)
    with pytest.raises(ValueError, match="One pattern at most"):
        layouts["dense/kernel"]
    with pytest.raises(ValueError, match="A layout is a TensorLayout"):
        layouts["x"] = "model"
    with pytest.raises(ValueError, match="one of"):
        layouts["x"] = (None, "data")
    with pytest.raises(ValueError, match="stand once"):
        TensorLayout(("model", "model"))
    with pytest.raises(ValueError, match="set once"):
        layouts[".*kernel"].device_mesh = mesh


def test_placements():
    from torch.distributed.tensor import Replicate, Shard

    mesh = DeviceMesh((2, 2), ["batch", "model"], DEVICES)
    assert TensorLayout((None, "model"), mesh).placements == [Replicate(), Shard(1)]
    assert TensorLayout(("batch", "model"), mesh).placements == [Shard(0), Shard(1)]
    with pytest.raises(ValueError, match="needs a mesh"):
        _ = TensorLayout(("batch",)).placements


def test_model_parallel_needs_a_map_with_a_mesh():
    with pytest.raises(TypeError, match="needs a LayoutMap"):
        ModelParallel(layout_map={})
    with pytest.raises(ValueError, match="needs a mesh"):
        ModelParallel(layout_map=LayoutMap(None))
    layouts = LayoutMap(DeviceMesh((2, 2), ["batch", "model"], DEVICES))
    assert ModelParallel(layout_map=layouts).batch_shard == (0, 1)
    assert ModelParallel(layout_map=layouts, batch_dim_name="model").batch_dim_name == "model"
