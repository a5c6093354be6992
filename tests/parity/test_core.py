"""The ground layer against real Keras: dtypes, names, trees, variables, specs, configs."""

import itertools
import json

import numpy as np
import pytest
import torch

import torchkeras

keras = pytest.importorskip("keras")

from keras.src.backend.common import dtypes as keras_dtypes  # noqa: E402
from keras.src.utils import naming as keras_naming  # noqa: E402

from torchkeras.core import naming  # noqa: E402
from torchkeras.core.dtypes import result_type, standardize_dtype  # noqa: E402

DTYPES = ["bool", "uint8", "uint16", "uint32", "int8", "int16", "int32", "int64"] + [
    "float16",
    "bfloat16",
    "float32",
    "float64",
    int,
    float,
]


def both(function):
    """`function` on the two libraries; equal results, or errors in both."""
    results = []
    for library in (keras, torchkeras):
        try:
            results.append(function(library))
        except Exception as error:
            results.append(type(error))
    theirs, ours = results
    return theirs, ours


@pytest.mark.parametrize("a", DTYPES, ids=str)
def test_result_type(a):
    # Keras names the 32-bit dtype where 64 bits are needed; its operations on torch use 64.
    narrow = {"int64": "int32", "uint64": "uint32", "float64": "float32"}
    for b in DTYPES:
        for more in ((), ("int8",), ("float16",), (float,)):
            ours, theirs = result_type(a, b, *more), keras_dtypes.result_type(a, b, *more)
            assert narrow.get(ours, ours) == theirs, (a, b, more)


@pytest.mark.parametrize(
    "dtype",
    [None, int, float, "float64", np.float16, np.dtype("int8"), torch.bfloat16, torch.bool]
    + ["nonsense", np.int64(3)],
    ids=str,
)
def test_standardize_dtype(dtype):
    theirs, ours = both(lambda library: library.utils.standardize_dtype(dtype))
    assert ours == theirs
    assert standardize_dtype(torch.int16) == "int16"


@pytest.mark.parametrize(
    "name", ["Dense", "MyDense2D", "LSTMCell", "GRU", "a b-c", "Conv2DTranspose", "_Private", "X1Y"]
)
def test_snake_case(name):
    assert naming.to_snake_case(name) == keras_naming.to_snake_case(name)


def test_automatic_names_and_uids():
    def run(library):
        library.utils.clear_session(free_memory=False)
        names = [library.layers.Dense(1).name for _ in range(3)]
        names += [library.Variable(1.0).name, library.Variable(1.0).name]
        return names + [library.backend.get_uid("dense"), library.backend.get_uid("other")]

    theirs, ours = both(run)
    assert ours == theirs


TREES = [
    3,
    [1, (2, None), {"b": 3, "a": [4]}],
    {"z": {"y": 1}, "a": (2, [3])},
    [],
]


@pytest.mark.parametrize("structure", TREES, ids=str)
def test_tree(structure):
    for function in [
        lambda tree: tree.flatten(structure),
        lambda tree: tree.flatten_with_path(structure),
        lambda tree: tree.map_structure(lambda x: (x, 1), structure),
        lambda tree: tree.is_nested(structure),
        lambda tree: tree.pack_sequence_as(structure, range(len(tree.flatten(structure)))),
        lambda tree: tree.lists_to_tuples(structure),
        lambda tree: tree.traverse(lambda x: 9 if x == 2 else None, structure, top_down=False),
        lambda tree: tree.assert_same_structure(structure, structure),
        lambda tree: tree.assert_same_structure(structure, [structure]),
        lambda tree: tree.map_structure_up_to(structure, lambda x: x, structure),
    ]:
        theirs, ours = both(lambda library, function=function: function(library.tree))
        assert ours == theirs


@pytest.mark.parametrize(
    "value",
    [1, 1.5, True, [1, 2], [1.5, 2], np.ones(2), np.ones(2, "int64"), np.float32(2), [[True]]],
    ids=str,
)
def test_converted_dtypes(value):
    expected = keras.ops.convert_to_tensor(value)
    ours = torchkeras.ops.convert_to_tensor(value)
    assert ours.dtype is expected.dtype
    assert torch.equal(ours, expected.to(ours.device))


VARIABLE_RESULTS = {
    "add": lambda v, w: v + w,
    "sub_array": lambda v, w: v - np.array([1.0, 2.0], "float32"),
    "rsub": lambda v, w: 1.0 - v,
    "mul_int": lambda v, w: v * 3,
    "pow": lambda v, w: v**2,
    "rpow": lambda v, w: 2.0**v,
    "floordiv": lambda v, w: v // w,
    "mod": lambda v, w: v % w,
    "neg": lambda v, w: -v,
    "matmul": lambda v, w: v @ w,
    "less": lambda v, w: v < w,
    "equal": lambda v, w: v == w,
    "index": lambda v, w: v[1],
    "assign": lambda v, w: v.assign([7.0, 8.0]),
    "assign_add": lambda v, w: v.assign_add(w),
    "assign_sub": lambda v, w: v.assign_sub([1, 1]),
    "shape": lambda v, w: v.assign([1.0]),
    "float": lambda v, w: float(v[0] * 1),
}


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", VARIABLE_RESULTS)
def test_variables(name):
    def run(library):
        v, w = library.Variable([2.0, 3.0]), library.Variable([5.0, 2.0])
        result = VARIABLE_RESULTS[name](v, w)
        result = result.detach().cpu().numpy() if isinstance(result, torch.Tensor) else result
        return [np.asarray(result).tolist(), v.numpy().tolist()]

    theirs, ours = both(run)
    assert ours == theirs


def test_variable_facts():
    def run(library):
        v = library.Variable("ones", shape=(2, 3), dtype="float16", trainable=False, name="v")
        facts = [v.shape, v.ndim, v.dtype, v.trainable, v.name, v.path, v.aggregation]
        return facts + [v.regularizer, v.constraint, v.overwrite_with_gradient]

    theirs, ours = both(run)
    assert ours == theirs


POLICIES = ["float32", "mixed_float16", "mixed_bfloat16", "float64", "bfloat16", "int32", "oops"]


@pytest.mark.parametrize("name", POLICIES)
def test_dtype_policies(name):
    def run(library):
        policy = library.DTypePolicy(name)
        return [
            policy.name,
            policy.compute_dtype,
            policy.variable_dtype,
            repr(policy),
            policy.get_config(),
            library.saving.serialize_keras_object(policy),
        ]

    theirs, ours = both(run)
    assert ours == theirs


SPEC_ARGUMENTS = [
    {"ndim": 2},
    {"min_ndim": 2, "max_ndim": 3},
    {"shape": (None, 3)},
    {"axes": {-1: 3, "0": 2}},
    {"dtype": "float32"},
    {"shape": (None, 3), "optional": True, "name": "x"},
    {"ndim": 1, "axes": {1: 2}},
    {"axes": {"a": 1}},
]


@pytest.mark.parametrize("arguments", SPEC_ARGUMENTS, ids=str)
def test_input_specs(arguments):
    def facts(library):
        spec = library.InputSpec(**arguments)
        return spec.get_config()

    theirs, ours = both(facts)
    assert ours == theirs
    for shape in itertools.chain(*(itertools.product((2, 3), repeat=n) for n in range(1, 4))):

        def check(library, shape=shape):
            class Takes(library.layers.Layer):
                def call(self, x):
                    return x

            layer = Takes()
            layer.input_spec = library.InputSpec(**arguments)
            return tuple(layer(torch.zeros(shape)).shape)

        theirs, ours = both(check)
        # An axis that the input does not have is an IndexError in Keras.
        assert ours == theirs or (theirs is IndexError and ours is ValueError), shape


@pytest.mark.parametrize("seed", [None, 0, 7])
def test_seed_generators(seed):
    def run(library):
        library.utils.clear_session(free_memory=False)
        generator = library.random.SeedGenerator(seed)
        config = generator.get_config()
        other = library.random.SeedGenerator(3, name="own").get_config()
        return [
            config,
            other,
            generator.state.path,
            library.saving.serialize_keras_object(generator),
        ]

    theirs, ours = both(run)
    assert ours == theirs


VALUES = [
    None,
    3,
    2.5,
    "text",
    [1, {"a": None}],
    (1, 2),
    b"bytes",
    slice(1, None, 2),
    np.array([1.0, 2.0], "float32"),
]


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_serialized_values(value):
    theirs, ours = both(lambda library: library.saving.serialize_keras_object(value))
    assert ours == theirs or json.dumps(ours) == json.dumps(theirs)


def test_registered_names():
    def run(library):
        @library.saving.register_keras_serializable("package", "Name")
        class Own(library.layers.Layer):
            pass

        config = library.saving.serialize_keras_object(Own(name="o"))
        found = library.saving.get_registered_object("package>Name")
        del library.saving.get_custom_objects()["package>Name"]
        config.pop("module")
        return [found.__name__, library.saving.get_registered_name(Own), config]

    theirs, ours = both(run)
    assert ours == theirs


def test_name_scopes():
    def run(library):
        with library.name_scope("a"):
            with library.name_scope("b"):
                inner = library.Variable(1.0, name="v").path
            layer = library.layers.Dense(2, name="d")
            layer.build((None, 3))
        return [inner, layer.path, [w.path for w in layer.weights]]

    theirs, ours = both(run)
    assert ours == theirs


def test_symbols():
    def run(library):
        x = library.KerasTensor((None, 3), "float16", name="x")
        results = [x + 1, 1 - x, x > 0, x[:, 0], x @ library.KerasTensor((3, 5), "float32")]
        return [repr(x)] + [(y.shape, y.dtype) for y in results]

    theirs, ours = both(run)
    assert ours == theirs


@pytest.mark.parametrize("use", [bool, np.asarray], ids=lambda f: f.__name__)
def test_symbols_have_no_value(use):
    theirs, ours = both(lambda library: use(library.KerasTensor((None, 3))))
    assert ours is theirs
