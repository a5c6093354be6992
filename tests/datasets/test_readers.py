import hashlib
import io
import os
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from torchkeras.datasets import _readers


class Attack:
    """Pickles as a call of `function(*arguments)`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def object_array(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def npz(path, **arrays):
    """Write an `.npz` whose members are arrays, or ready bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            if not isinstance(array, bytes):
                file = io.BytesIO()
                np.lib.format.write_array(file, array)
                array = file.getvalue()
            archive.writestr(f"{name}.npy", array)
    return path


def object_npy(pickled, shape=(2,)):
    file = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + pickled


# Object arrays


@pytest.mark.parametrize("items", [[[1, 2], [3]], [[1, 2], [3, 4]], [[], [5]], [[1 << 40]]])
def test_lists_of_integers_are_read(tmp_path, items):
    path = npz(tmp_path / "a.npz", x=object_array([*items, [0, 1, 2]]), y=np.arange(3))
    x, y = _readers.read_object_npz(path, ("x", "y"))
    assert x.tolist() == [*items, [0, 1, 2]]
    assert x.dtype == object and x.shape == (len(items) + 1,)
    assert y.tolist() == [0, 1, 2]


@pytest.mark.parametrize("protocol", [3, 4])
def test_pickles_of_python_3_are_read(tmp_path, protocol):
    path = npz(tmp_path / "a.npz", x=object_npy(pickle.dumps(object_array([[1], [2]]), protocol)))
    assert _readers.read_object_npz(path, ["x"])[0].tolist() == [[1], [2]]


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_pickles_of_python_2_are_read(tmp_path, module):
    pickled = python2_array_pickle(b"c" + module + b"\n_reconstruct\n")
    path = npz(tmp_path / "a.npz", x=object_npy(pickled))
    assert _readers.read_object_npz(path, ["x"])[0].tolist() == [[1], [2, 3]]


def python2_array_pickle(reconstruct):
    """The protocol 2 stream that numpy under Python 2 writes for an array of two lists."""
    return (
        b"\x80\x02" + reconstruct + b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89"
        b"](](K\x01e](K\x02K\x03eetb."
    )


@pytest.mark.parametrize(
    "attack",
    [
        Attack(os.mkdir, "canary"),
        Attack(eval, "__import__('os').mkdir('canary')"),
        Attack(exec, "import os; os.mkdir('canary')"),
        Attack(getattr, "abc", "upper"),
        Attack(np.load, "other.npy"),
        Attack(np.dtype, "O", False, True),
        Attack(np.arange, 3),
    ],
    ids=lambda attack: attack.call[0].__name__,
)
@pytest.mark.parametrize("wrap", [lambda a: a, lambda a: [[1], a], lambda a: object_array([[a]])])
def test_pickles_that_call_functions_run_nothing(tmp_path, monkeypatch, attack, wrap):
    monkeypatch.chdir(tmp_path)
    path = npz(tmp_path / "a.npz", x=object_npy(pickle.dumps(wrap(attack), 4)))
    with pytest.raises(ValueError, match="Received: .*Delete the file"):
        _readers.read_object_npz(path, ["x"])
    assert not (tmp_path / "canary").exists()


def test_the_attack_of_these_tests_works_on_plain_pickle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Attack(os.mkdir, "canary"), 4))
    assert (tmp_path / "canary").exists()


def test_refusal_names_what_the_file_wanted_to_use(tmp_path):
    path = npz(tmp_path / "a.npz", x=object_npy(pickle.dumps(Attack(eval, "1"), 4)))
    with pytest.raises(ValueError, match="a use of builtins.eval.*a.npz"):
        _readers.read_object_npz(path, ["x"])


@pytest.mark.parametrize(
    "content",
    [
        object_array([[1], "ab"]),
        object_array([[1], [1.5]]),
        object_array([[1], [True]]),
        object_array([[1], [[2]]]),
        object_array([[1], (2, 3)]),
        object_array([[1], None]),
        object_array([[1], np.arange(2)]),
        np.array([[[1], None], [None, [2]]], dtype=object),
        [[1], [2]],
        {"x": [1]},
        np.ndarray,
        np.dtype,
        np.array([(1, 2)], dtype=[("a", "i4"), ("b", "i4")]),
    ],
    ids=repr,
)
def test_objects_other_than_lists_of_integers_are_refused(tmp_path, content):
    path = npz(tmp_path / "a.npz", x=object_npy(pickle.dumps(content, 4)))
    with pytest.raises(ValueError, match="Received: .*Delete the file"):
        _readers.read_object_npz(path, ["x"])


@pytest.mark.parametrize("content", [b"U\x10" + b"A" * 16, b"U\x02AA", b"K\x05", b"}", b"N"])
def test_bytes_are_never_taken_for_object_pointers(tmp_path, content):
    # A dtype of objects with bytes, or a number, as contents: no array must be built from this.
    good = python2_array_pickle(b"cnumpy.core.multiarray\n_reconstruct\n")
    bad = good.replace(b"](](K\x01e](K\x02K\x03ee", content)
    assert bad != good
    path = npz(tmp_path / "a.npz", x=object_npy(bad))
    with pytest.raises(ValueError, match="an array of objects"):
        _readers.read_object_npz(path, ["x"])


@pytest.mark.parametrize("cut", [0, 1, 10, 60, 100])
def test_damaged_pickles_are_one_kind_of_error(tmp_path, cut):
    pickled = pickle.dumps(object_array([[1, 2, 3], [4, 5, 6]]), 4)
    assert len(pickled) > 100
    path = npz(tmp_path / "a.npz", x=object_npy(pickled[:cut]))
    with pytest.raises(ValueError, match="Received: "):
        _readers.read_object_npz(path, ["x"])


def test_persistent_ids_and_extensions_are_refused(tmp_path):
    for pickled in (b"Pabc\n.", b"\x80\x02\x82\x01."):
        path = npz(tmp_path / "a.npz", x=object_npy(pickled))
        with pytest.raises(ValueError, match="Received: "):
            _readers.read_object_npz(path, ["x"])


@pytest.mark.parametrize("read", [_readers.read_npz, _readers.read_object_npz])
def test_missing_name_is_an_error(tmp_path, read):
    path = npz(tmp_path / "a.npz", x=np.arange(2))
    with pytest.raises(ValueError, match="Received: no y, only x, in .*a.npz"):
        read(path, ("x", "y"))


def test_numeric_reader_refuses_objects(tmp_path):
    path = npz(tmp_path / "a.npz", x=object_npy(pickle.dumps(Attack(os.mkdir, "canary"), 4)))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        _readers.read_npz(path, ["x"])


# Digests of arrays


def digests(**arrays):
    return {
        name: (array.shape, str(array.dtype), hashlib.sha256(array.tobytes()).hexdigest())
        for name, array in arrays.items()
    }


X = np.arange(24, dtype="uint8").reshape(2, 3, 4)
Y = np.arange(2, dtype="int64")


def test_same_arrays_in_any_zip_match(tmp_path):
    known = digests(x=X, y=Y)
    np.savez(tmp_path / "plain.npz", x=X, y=Y)
    np.savez_compressed(tmp_path / "small.npz", y=Y, x=X)
    assert _readers.arrays_match(tmp_path / "plain.npz", known)
    assert _readers.arrays_match(tmp_path / "small.npz", known)


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": X + 1, "y": Y},
        {"x": X.reshape(4, 6), "y": Y},
        {"x": X.view("int8"), "y": Y},
        {"x": X, "y": Y.astype("int32")},
        {"x": np.asfortranarray(X), "y": Y},
        {"x": X},
        {"x": X, "y": Y, "z": Y},
        {"x": X, "y": object_array([[0], [1]])},
    ],
)
def test_other_arrays_do_not_match(tmp_path, arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    assert not _readers.arrays_match(tmp_path / "a.npz", digests(x=X, y=Y))


def test_member_without_suffix_cannot_shadow_a_checked_one(tmp_path):
    path = npz(tmp_path / "a.npz", x=X, y=Y)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x", archive.read("y.npy"))
    with np.load(path) as arrays:
        assert arrays["x"].shape == Y.shape
    assert not _readers.arrays_match(path, digests(x=X, y=Y))


def test_bytes_after_the_array_do_not_match(tmp_path):
    file = io.BytesIO()
    np.lib.format.write_array(file, X)
    path = npz(tmp_path / "a.npz", x=file.getvalue() + b"more")
    assert not _readers.arrays_match(path, digests(x=X))


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04" + bytes(50)])
def test_files_that_are_no_npz_do_not_match(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    assert not _readers.arrays_match(tmp_path / "a.npz", digests(x=X))


@pytest.mark.parametrize("position", [60, 120, 200])
def test_damaged_npz_does_not_match(tmp_path, position):
    big = np.arange(1000, dtype="uint8")
    np.savez_compressed(tmp_path / "a.npz", x=big)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[position] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(content)
    assert not _readers.arrays_match(tmp_path / "a.npz", digests(x=big))


def test_header_that_declares_petabytes_costs_nothing(tmp_path):
    file = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (1 << 50,)}
    np.lib.format.write_array_header_1_0(file, header)
    path = npz(tmp_path / "a.npz", x=file.getvalue())
    assert not _readers.arrays_match(path, digests(x=X))


# CIFAR batches


def cifar_tar(path, batch, name="b"):
    content = batch if isinstance(batch, bytes) else pickle.dumps(batch, 3)
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return path


IMAGES = np.random.RandomState(0).randint(0, 256, (3, 3072)).astype("uint8")


@pytest.mark.parametrize("order", ["C", "F"])
def test_cifar_batch_in_either_memory_order(tmp_path, order):
    batch = {b"data": np.array(IMAGES, order=order), b"labels": [4, 0, 9]}
    x, y = _readers.read_cifar_batches(cifar_tar(tmp_path / "a", batch), ["b"], b"labels")
    assert (x == IMAGES.reshape(3, 3, 32, 32)).all() and x.dtype == np.uint8
    assert y.tolist() == [[4], [0], [9]]
    assert x.flags.writeable


@pytest.mark.parametrize(
    "batch",
    [
        Attack(os.mkdir, "canary"),
        {b"data": Attack(os.mkdir, "canary"), b"labels": [0, 1, 2]},
        {b"data": IMAGES, b"labels": Attack(os.mkdir, "canary")},
        {b"data": IMAGES, b"labels": [0, 1]},
        {b"data": IMAGES, b"labels": [0, 1, 2.5]},
        {b"data": IMAGES, b"labels": b"012"},
        {b"data": IMAGES},
        {b"labels": [0, 1, 2]},
        {b"data": IMAGES[:, :100], b"labels": [0, 1, 2]},
        {b"data": IMAGES.astype("float32"), b"labels": [0, 1, 2]},
        {b"data": IMAGES.tobytes(), b"labels": [0, 1, 2]},
        {b"data": np.array([("a", 1)], dtype="S1,i4"), b"labels": [0]},
        [1, 2],
        b"no pickle",
    ],
)
def test_other_cifar_batches_are_refused(tmp_path, monkeypatch, batch):
    monkeypatch.chdir(tmp_path)
    path = cifar_tar(tmp_path / "a", batch)
    with pytest.raises(ValueError, match="Received: .*Delete the file"):
        _readers.read_cifar_batches(path, ["b"], b"labels")
    assert not (tmp_path / "canary").exists()


def test_cifar_array_with_too_few_bytes_is_refused(tmp_path):
    pickled = pickle.dumps({b"data": IMAGES, b"labels": [0, 1, 2]}, 3)
    data = struct.pack("<I", IMAGES.size) + IMAGES.tobytes()
    assert data in pickled
    short = pickled.replace(data, struct.pack("<I", 10) + IMAGES.tobytes()[:10])
    with pytest.raises(ValueError, match="contents of another size"):
        _readers.read_cifar_batches(cifar_tar(tmp_path / "a", short), ["b"], b"labels")


def test_missing_or_linked_cifar_batch_is_an_error(tmp_path):
    with tarfile.open(tmp_path / "a", "w") as archive:
        info = tarfile.TarInfo("b")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(ValueError, match="Received: no b, only"):
        _readers.read_cifar_batches(tmp_path / "a", ["b"], b"labels")


def test_huge_cifar_batch_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(_readers, "_BATCH_LIMIT_BYTES", 1000)
    path = cifar_tar(tmp_path / "a", {b"data": IMAGES, b"labels": [0, 1, 2]})
    with pytest.raises(ValueError, match="a batch 'b' of .* bytes"):
        _readers.read_cifar_batches(path, ["b"], b"labels")
