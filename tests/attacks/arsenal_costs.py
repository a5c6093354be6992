"""More hostile files, of the kinds that cost: each names sizes beyond what its bytes are worth."""

import json
import zipfile

import numpy as np

import torchkeras as keras
from tests.attacks.arsenal import (
    _READERS,
    _special,
    attack,
    config,
    constant,
    functional,
    good,
    layer,
    load,
    of_ops,
    of_torch,
    small,
    stack,
    with_config,
)

layers = keras.layers
_MANY = [2**20, 2 * 10**8, 2**40]


def _put(name, make, may_pass=True, **settings):
    """A read that may pass, but must be cheap, or is refused."""
    attack(name, may_pass=may_pass, **settings)(make)


# Sizes that layers are given, and what follows from them in a file of some kilobytes

_SIZED = {
    "string lookup": lambda n: layer("StringLookup", max_tokens=n, output_mode="multi_hot"),
    "integer lookup": lambda n: layer("IntegerLookup", max_tokens=n, output_mode="one_hot"),
    "oov indices": lambda n: layer("StringLookup", num_oov_indices=n, output_mode="count"),
    "oov of a vocabulary": lambda n: layer(
        "StringLookup", num_oov_indices=n, vocabulary=["a"], output_mode="tf_idf", idf_weights=[1.0]
    ),
    "vectorization": lambda n: layer("TextVectorization", max_tokens=n, output_mode="tf_idf"),
    "padded vectorization": lambda n: layer(
        "TextVectorization", max_tokens=n, output_mode="multi_hot", pad_to_max_tokens=True
    ),
    "sequence length": lambda n: layer("TextVectorization", output_sequence_length=n),
    "ngrams": lambda n: layer("TextVectorization", ngrams=n),
    "category encoding": lambda n: layer("CategoryEncoding", num_tokens=n),
    "hashing": lambda n: layer("Hashing", num_bins=n, output_mode="multi_hot"),
    "hashed crossing": lambda n: layer("HashedCrossing", num_bins=n, output_mode="one_hot"),
    "bins": lambda n: layer("Discretization", num_bins=n, output_mode="one_hot"),
    "embedding": lambda n: layer("Embedding", input_dim=n, output_dim=64),
    "lstm": lambda n: layer("LSTM", units=n, stateful=True),
    "gru": lambda n: layer("GRU", units=n),
    "conv lstm": lambda n: layer("ConvLSTM1D", filters=n, kernel_size=3),
    "convolution": lambda n: layer("Conv1D", filters=n, kernel_size=n),
    "attention": lambda n: layer("MultiHeadAttention", num_heads=n, key_dim=n),
    "resizing": lambda n: layer("Resizing", height=n, width=n),
    "center crop": lambda n: layer("CenterCrop", height=n, width=n),
    "random crop": lambda n: layer("RandomCrop", height=n, width=n),
    "up sampling": lambda n: layer("UpSampling1D", size=n),
    "zero padding": lambda n: layer("ZeroPadding1D", padding=n),
    "adaptive pooling": lambda n: layer("AdaptiveAveragePooling1D", output_size=n),
    "boxes": lambda n: layer("MaxNumBoundingBoxes", max_number=n),
    "posterization": lambda n: layer("RandomPosterization", factor=n),
    "augmentations": lambda n: layer("RandAugment", num_ops=n),
    "spectral": lambda n: layer("STFTSpectrogram", frame_length=n, frame_step=1, fft_length=n),
    "normalization groups": lambda n: layer("GroupNormalization", groups=n),
    "permutation": lambda n: layer("Permute", dims=[n]),
    "output shape": lambda n: layer("EinsumDense", equation="ab,bc->ac", output_shape=n),
}
for _name, _layer in _SIZED.items():
    for _n in _MANY:
        _put(f"size {_n}: {_name}", lambda f, m=_layer, n=_n: stack(f, m(n), name="good.keras"))


# The same in a text alone: what has no weights must not cost

for _name in ("string lookup", "vectorization", "category encoding", "bins", "ngrams", "boxes"):

    def _in_text(folder, made=_SIZED[_name]):
        changed = config()
        changed["config"]["layers"] = [changed["config"]["layers"][0], made(2 * 10**8)]
        changed["config"].pop("build_input_shape", None)
        text = json.dumps(changed)
        return lambda: keras.models.model_from_json(text)

    _put(f"text: {_name}", _in_text)


@attack("text: 200000000 thresholds", quick=True)
def _(folder):
    changed = config()
    changed["compile_config"]["metrics"] = [
        {
            "module": "keras.metrics",
            "class_name": "AUC",
            "config": {"num_thresholds": 2 * 10**8},
            "registered_name": None,
        }
    ]
    text = json.dumps(changed)
    return lambda: keras.models.model_from_json(text)


# Steps whose cost a number chooses

for _n in _MANY:
    _FUNCTIONS = {
        "tile": of_torch("torch.tile", [_n, _n]),
        "torch repeat": of_torch("torch.Tensor.repeat", _n, _n),
        "matrix power": of_torch("torch.matrix_power", _n),
        "linalg matrix power": of_torch("torch.linalg.matrix_power", _n),
        "expand": of_torch("torch.Tensor.expand", _n, 3),
        "pad": of_torch("torch.nn.functional.pad", [_n, _n]),
        "interpolate": of_torch("torch.nn.functional.interpolate", _n),
        "vander": of_torch("torch.vander", _n),
        "one hot": of_torch("torch.nn.functional.one_hot", _n),
        "split": of_torch("torch.tensor_split", _n),
        "chunk": of_torch("torch.chunk", _n, -1),
        "fft": of_torch("torch.fft.fft", _n),
        "diff": of_torch("torch.diff", _n),
        "rot90": of_torch("torch.rot90", _n),
        "ops repeat": of_ops("Repeat", repeats=_n, axis=0),
        "ops tile": of_ops("Tile", repeats=[_n, _n]),
        "ops pad": of_ops("Pad", pad_width=[[0, 0], [_n, _n]], mode="constant"),
        "ops split": of_ops("Split", indices_or_sections=_n, axis=1),
        "ops one hot": of_ops("OneHot", num_classes=_n),
        "ops linspace": of_ops("Linspace", constant([0.0], "float32"), num=_n),
        "ops bincount": of_ops("Bincount", minlength=_n),
        "ops resize": of_ops("Resize", size=[_n, _n]),
        "ops diff": of_ops("Diff", n=_n),
        "ops vander": of_ops("Vander", N=_n),
        "ops matrix power": of_ops("MatrixPower", n=_n),
        "ops unstack": of_ops("Unstack", num=_n, axis=1),
        "ops expand": of_ops("ExpandDims", axis=[0] * 2000),
        "ops broadcast": of_ops("BroadcastTo", shape=[_n, 3]),
    }
    for _name, _step in _FUNCTIONS.items():
        _put(
            f"number {_n}: {_name}",
            lambda f, s=_step: with_config(f, functional(json.loads(json.dumps(s)))),
        )


@attack("models of applications by name")
def _(folder):
    changed = config()
    made = {"module": "keras.applications", "class_name": "VGG16", "config": {}}
    changed["config"]["layers"][1] = made
    return with_config(folder, changed)


@attack("optimizers of many slots", may_pass=True)
def _(folder):
    changed = config()
    inner = changed["compile_config"]["optimizer"]
    for _ in range(300):
        inner = {
            "module": "keras.optimizers",
            "class_name": "LossScaleOptimizer",
            "config": {"inner_optimizer": inner},
            "registered_name": None,
        }
    changed["compile_config"]["optimizer"] = inner
    return with_config(folder, changed)


# Archives of models in other ways out of proportion


@attack("zip: a name twice", may_pass=True)
def _(folder):
    path = good(folder, "good.keras")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", b"{}")
    return load(path)


@attack("zip: encrypted")
def _(folder):
    path = good(folder, "good.keras")
    data = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = data.find(mark)
        while at >= 0:
            data[at + place] |= 1
            at = data.find(mark, at + 1)
    path.write_bytes(bytes(data))
    return load(path)


for _member in ("config.json", "metadata.json"):
    _put(
        f"zip: {_member} of half a gigabyte",
        lambda f, m=_member: _member_of_zeros(f, m),
        may_pass=False,
    )


def _member_of_zeros(folder, member):
    path = good(folder, "good.keras")
    with zipfile.ZipFile(path) as archive:
        others = {n: archive.read(n) for n in archive.namelist() if n != member}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in others.items():
            archive.writestr(name, data)
        with archive.open(member, "w") as file:
            for _ in range(512):
                file.write(b" " * 2**20)
    return load(path)


# Files that are none, in the place of more arguments


def _weights_of(ending):
    def read(path):
        model = small()
        return lambda: model.load_weights(path)

    return f"m{ending}", read


def _folder_of(reader):
    return lambda path: lambda: list(reader(path.parent))


_MORE = {
    "legacy weights": _weights_of(".h5"),
    "weights in parts": _weights_of(".weights.json"),
    "safetensors in parts": _weights_of(".safetensors.index.json"),
    "a vocabulary": ("v.txt", lambda path: lambda: layers.StringLookup(vocabulary=path)),
    "words of a vectorization": (
        "v.txt",
        lambda path: lambda: layers.TextVectorization(vocabulary=str(path)),
    ),
    "hash_file": ("x", lambda path: lambda: _hash(path)),
    "the editor": ("m.weights.h5", lambda path: lambda: keras.saving.KerasFileEditor(path)),
    "load_optimizer_state of hdf5": (
        "m.weights.h5",
        lambda path: lambda: keras.saving.load_optimizer_state(small(), path),
    ),
}


def _hash(path):
    from torchkeras.utils.file_utils import hash_file

    return hash_file(path)


for _reader, (_file, _call) in _MORE.items():
    for _kind in ("pipe", "folder", "device", "socket", "link to itself"):
        _put(
            f"{_kind} for {_reader}",
            lambda f, k=_kind, n=_file, c=_call: c(_special(f, k, n)),
            may_pass=False,
            quick=_kind == "pipe" and _reader in ("a vocabulary", "weights in parts"),
        )
assert not set(_MORE) & set(_READERS)


@attack("an array of zeros that deflates a thousandfold", may_pass=True)
def _(folder):
    path = folder / "a.npz"
    np.savez_compressed(path, x_train=np.zeros(2**28, np.uint8))
    from torchkeras.datasets._readers import arrays_match

    known = {"x_train": ((60000, 28, 28), "uint8", "0" * 64)}
    return lambda: arrays_match(path, known)
