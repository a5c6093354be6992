"""Optimizers against real Keras: same weights, same gradients, up to 100 steps.

Our scalars (rates, powers of beta) are computed in float64. Keras's are of the variable's dtype: in
float32 its powers of beta are wrong by 6e-5 in the first steps. Float64 variables leave only its
weight-decay factor and its schedules in float32, 6e-8 a step: hence the two tolerances.
"""

import inspect

import numpy as np
import pytest
import torch

keras = pytest.importorskip("keras")

from torchkeras import optimizers  # noqa: E402
from torchkeras.core import naming, serialization  # noqa: E402
from torchkeras.core.variable import Variable  # noqa: E402
from torchkeras.optimizers import schedules  # noqa: E402

# Raised inside Keras, by NumPy 2, when it reads its own Variables.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TOLERANCES = {"float32": {"rtol": 1e-5, "atol": 2e-6}, "float64": {"rtol": 1e-5, "atol": 1e-7}}
NAMES = (
    ["SGD", "RMSprop", "Adam", "AdamW", "Adagrad", "Adadelta", "Adamax", "Nadam", "Lion"]
    + ["Ftrl", "Lamb", "Adafactor", "Muon", "ScheduleFreeAdamW"]  # fmt: skip
)
SHAPES = {"kernel": (4, 3), "bias": (3,), "scale": (), "wide": (2, 5), "cube": (2, 3, 4)}

RULES = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("RMSprop", {}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"momentum": 0.5}),
    ("RMSprop", {"momentum": 0.5, "centered": True, "rho": 0.8, "epsilon": 1e-3}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True}),
    ("Adam", {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-2}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.5, "amsgrad": True}),
    ("Adagrad", {}),
    ("Adagrad", {"initial_accumulator_value": 0.0, "epsilon": 1e-3}),
    ("Adadelta", {"learning_rate": 1.0, "epsilon": 1e-3}),
    ("Adamax", {}),
    ("Nadam", {}),
    ("Lion", {}),
    ("Ftrl", {}),
    # At a rate of 0.01 z is a sum of terms near 1e3, that float32 has to 1e-4.
    ("Ftrl", {"learning_rate": 0.5, "learning_rate_power": -0.3, "beta": 0.1}),
    ("Ftrl", {"learning_rate": 0.5, "l1_regularization_strength": 0.1}),
    ("Ftrl", {"l2_regularization_strength": 0.1, "l2_shrinkage_regularization_strength": 0.05}),
    ("Lamb", {}),
    ("Lamb", {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-2}),
    ("Adafactor", {}),
    ("Adafactor", {"beta_2_decay": -0.5, "epsilon_2": 0.1, "clip_threshold": 0.5}),
    ("Adafactor", {"learning_rate": 0.5, "relative_step": False}),
    ("Muon", {}),
    ("Muon", {"exclude_layers": ["wi.e"], "nesterov": False, "rms_rate": None, "ns_steps": 3}),
    ("Muon", {"weight_decay": 0.5, "adam_weight_decay": None, "adam_lr_ratio": 0.5}),
    (
        "Muon",
        {
            "muon_c": 0.0,
            "weight_decay": None,
            "adam_weight_decay": 0.5,
            "muon_a": 1.5,
            "muon_b": -0.5,
        },
    ),
    ("ScheduleFreeAdamW", {}),
    ("ScheduleFreeAdamW", {"beta_1": 0.5, "warmup_steps": 20, "weight_decay": 0.1}),
]
# What no single one of the options below shows: how they work together.
TOGETHER = [
    {"weight_decay": 0.1, "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 7},
    {"clipnorm": 0.5, "gradient_accumulation_steps": 2, "weight_decay": 0.1},
    {"clipvalue": 0.3, "gradient_accumulation_steps": 3, "use_ema": True},
    {"global_clipnorm": 0.7, "loss_scale_factor": 8.0},
]
OPTIONS = [
    {"weight_decay": 0.1},
    {"clipnorm": 0.5},
    {"clipvalue": 0.3},
    {"global_clipnorm": 0.7},
    {"use_ema": True, "ema_momentum": 0.9},
    {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 7},
    {"gradient_accumulation_steps": 3},
    {"gradient_accumulation_steps": 4, "use_ema": True, "ema_overwrite_frequency": 5},
    {"gradient_accumulation_steps": 2, "weight_decay": 0.1, "clipnorm": 0.5},
    {"loss_scale_factor": 8.0},
]


def make_values(dtype="float64"):
    rng = np.random.default_rng(0)
    return {n: np.asarray(rng.normal(size=shape), dtype) for n, shape in SHAPES.items()}


def make_grads(steps, seed=1):
    rng = np.random.default_rng(seed)
    return [[np.asarray(rng.normal(size=shape)) for shape in SHAPES.values()] for _ in range(steps)]


def make_pair(name, kwargs, dtype="float64"):
    """The optimizer of both libraries, each with its own copy of the same variables."""
    values = make_values(dtype)
    theirs = [keras.Variable(v, name=n) for n, v in values.items()]
    ours = [Variable(v, name=n) for n, v in values.items()]
    return (
        (getattr(keras.optimizers, name)(name="o", **kwargs), theirs),
        (getattr(optimizers, name)(name="o", **kwargs), ours),
    )


def run(optimizer, variables, grads):
    for step in grads:
        dtype = variables[0].value.dtype
        optimizer.apply([torch.tensor(g, dtype=dtype) for g in step], variables)


def assert_same(theirs, ours):
    tolerance = TOLERANCES[ours[1][0].dtype]
    (their_optimizer, their_variables), (our_optimizer, our_variables) = theirs, ours
    assert [v.shape for v in our_optimizer.variables] == [
        tuple(v.shape) for v in their_optimizer.variables
    ]
    assert [v.dtype for v in our_optimizer.variables] == [
        v.dtype for v in their_optimizer.variables
    ]
    for a, b in zip(their_variables, our_variables, strict=True):
        np.testing.assert_allclose(b.numpy(), a.value.detach().numpy(), **tolerance, err_msg=b.path)
    for a, b in zip(their_optimizer.variables, our_optimizer.variables, strict=True):
        np.testing.assert_allclose(b.numpy(), a.value.detach().numpy(), **tolerance, err_msg=b.path)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "kwargs"), RULES, ids=str)
def test_rule_follows_keras_for_100_steps(name, kwargs, dtype):
    theirs, ours = make_pair(name, {"learning_rate": 0.01, **kwargs}, dtype)
    run_theirs(*theirs, make_grads(100))
    run(*ours, make_grads(100))
    assert_same(theirs, ours)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Nadam"])
def test_options_follow_keras_for_60_steps(name, options):
    theirs, ours = make_pair(name, {"learning_rate": 0.01, **options})
    for pair in (theirs, ours):
        run(*pair, make_grads(60))
    assert_same(theirs, ours)
    for optimizer, variables in (theirs, ours):
        optimizer.finalize_variable_values(variables)
    assert_same(theirs, ours)


def plain(cls):
    """The same rule without its kernel."""
    rule = {"update_step": lambda self, *args: super(type(self), self).update_step(*args)}
    return type(cls.__name__, (cls,), rule)


def run_statelessly(optimizer, variables, grads):
    optimizer.build(variables)
    state, values = ([v.value.detach() for v in each] for each in (optimizer.variables, variables))
    for step in grads:
        step = [torch.tensor(g, dtype=values[0].dtype) for g in step]
        values, state = optimizer.stateless_apply(state, step, values)
    for variable, value in zip([*variables, *optimizer.variables], [*values, *state], strict=True):
        variable.assign(value)


def run_theirs(optimizer, variables, grads):
    """Keras's ScheduleFreeAdamW is right in stateless form only.

    Else it takes the new moving point for the old one, since torch's tensors are written in place;
    stateless, it overwrites variables with their averages where no one looks.
    """
    stateless = type(optimizer).__name__ == "ScheduleFreeAdamW"
    (run_statelessly if stateless else run)(optimizer, variables, grads)


@pytest.mark.parametrize("options", TOGETHER, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_every_way_of_updating_follows_keras_for_50_steps(name, options):
    if name == "ScheduleFreeAdamW":
        options = {k: v for k, v in options.items() if k != "ema_overwrite_frequency"}
    theirs, ours = make_pair(name, {"learning_rate": 0.01, **options})
    run_theirs(*theirs, make_grads(50))
    ways = [
        (ours[0], run),
        (plain(getattr(optimizers, name))(name="o", learning_rate=0.01, **options), run),
        (getattr(optimizers, name)(name="o", learning_rate=0.01, **options), run_statelessly),
    ]
    for optimizer, way in ways:
        variables = [Variable(v, name=n) for n, v in make_values().items()]
        way(optimizer, variables, make_grads(50))
        assert_same(theirs, (optimizer, variables))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_follow_keras_with_the_rule_in_update_step(options):
    """An optimizer without a kernel goes variable by variable."""
    theirs, _ = make_pair("Adam", {"learning_rate": 0.01, **options})
    ours = (
        plain(optimizers.Adam)(name="o", learning_rate=0.01, **options),
        [Variable(v, name=n) for n, v in make_values().items()],
    )
    assert not ours[0]._can_use_kernels()
    for pair in (theirs, ours):
        run(*pair, make_grads(60))
    assert_same(theirs, ours)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize(
    "make",
    [
        lambda module: module.ExponentialDecay(0.1, 10, 0.7),
        lambda module: module.CosineDecay(0.0, 60, warmup_target=0.05, warmup_steps=15),
        lambda module: module.PiecewiseConstantDecay([10, 40], [0.1, 0.01, 0.001]),
    ],
)
@pytest.mark.parametrize("accumulation", [None, 2])
def test_schedule_follows_keras(name, make, accumulation):
    pairs = []
    for module, variable in (
        (keras.optimizers, keras.Variable),
        (optimizers, Variable),
    ):
        optimizer = getattr(module, name)(
            make(module.schedules), gradient_accumulation_steps=accumulation, weight_decay=0.01
        )
        pairs.append((optimizer, [variable(v, name=n) for n, v in make_values().items()]))
        run(*pairs[-1], make_grads(60))
    assert_same(*pairs)
    np.testing.assert_allclose(
        float(pairs[1][0].learning_rate), float(pairs[0][0].learning_rate), rtol=1e-6
    )


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"use_ema": True, "gradient_accumulation_steps": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", NAMES)
def test_variables_have_the_order_and_paths_of_keras(name, kwargs):
    keras.utils.clear_session(free_memory=False)
    theirs, ours = make_pair(name, kwargs)
    for optimizer, variables in (theirs, ours):
        optimizer.build(variables)
    their_paths = [v.path for v in theirs[0].variables]
    our_paths = [v.path for v in ours[0].variables]
    if name == "Nadam":  # one automatic name, "variable" or "variable_<n>"
        assert our_paths.pop().startswith("variable") and their_paths.pop().startswith("variable")
    assert our_paths == their_paths
    assert [v.dtype for v in ours[0].variables] == [v.dtype for v in theirs[0].variables]


@pytest.mark.parametrize("name", NAMES)
def test_signature_and_config_are_those_of_keras(name):
    theirs, ours = getattr(keras.optimizers, name), getattr(optimizers, name)
    assert str(inspect.signature(ours.__init__)) == str(inspect.signature(theirs.__init__))
    assert ours(name="o").get_config() == theirs(name="o").get_config()


@pytest.mark.parametrize("name", NAMES)
def test_automatic_name_is_that_of_keras(name):
    keras.utils.clear_session(free_memory=False)
    naming.clear_session(free_memory=False)
    names = [[getattr(m, name)().name for _ in range(2)] for m in (keras.optimizers, optimizers)]
    assert names[0] == names[1]


@pytest.mark.parametrize("name", NAMES)
def test_configs_are_exchangeable(name):
    kwargs = {"clipnorm": 0.5, "use_ema": True, "ema_momentum": 0.75}
    schedule = ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 5})
    theirs = getattr(keras.optimizers, name)(
        getattr(keras.optimizers.schedules, schedule[0])(**schedule[1]), name="o", **kwargs
    )
    ours = getattr(optimizers, name)(
        getattr(schedules, schedule[0])(**schedule[1]), name="o", **kwargs
    )
    from_theirs = optimizers.deserialize(keras.optimizers.serialize(theirs))
    # Of Lamb Keras's own `optimizers.deserialize` returns the name.
    from_ours = keras.saving.deserialize_keras_object(optimizers.serialize(ours))
    assert from_theirs.get_config() == ours.get_config() == theirs.get_config()
    assert from_ours.get_config() == theirs.get_config()
    assert isinstance(from_theirs, getattr(optimizers, name))
    nested = serialization.deserialize_keras_object(keras.optimizers.serialize(theirs))
    assert nested.get_config() == theirs.get_config()


@pytest.mark.parametrize("name", NAMES)
def test_saved_state_is_exchangeable(name):
    theirs, ours = make_pair(name, {"learning_rate": 0.01})
    run_theirs(*theirs, make_grads(5))
    store = {}
    theirs[0].save_own_variables(store)
    ours[0].build(ours[1])
    ours[0].load_own_variables(store)
    for a, b in zip(theirs[1], ours[1], strict=True):
        b.assign(a.value.detach())
    run_theirs(*theirs, make_grads(20, seed=2))
    run(*ours, make_grads(20, seed=2))
    assert_same(theirs, ours)


def test_adam_is_exact_to_float_rounding_in_float32():
    theirs, ours = make_pair("Adam", {}, "float32")
    for pair in (theirs, ours):
        run(*pair, make_grads(100))
    for a, b in zip(theirs[1], ours[1], strict=True):
        np.testing.assert_allclose(b.numpy(), a.value.detach().numpy(), rtol=1e-6, atol=1e-7)


def test_excluded_variables_do_not_decay_as_in_keras():
    theirs, ours = make_pair("AdamW", {"learning_rate": 0.01, "weight_decay": 0.5})
    for optimizer, variables in (theirs, ours):
        optimizer.exclude_from_weight_decay(var_list=[variables[2]], var_names=["bia"])
        run(optimizer, variables, make_grads(30))
    assert_same(theirs, ours)


def test_excluded_variables_go_by_adam_in_muon_as_in_keras():
    theirs, ours = make_pair("Muon", {"exclude_embeddings": False, "exclude_layers": ["^wi"]})
    for optimizer, variables in (theirs, ours):
        optimizer.build(variables)
    held = [[v is not None for v in o.adam_velocities] for o, _ in (theirs, ours)]
    assert held[0] == held[1] == [False, True, True, True, True]
    for module, variable in ((keras.optimizers, keras.Variable), (optimizers, Variable)):
        rows = variable(np.ones((2, 2)), name="token_Embedding")
        assert module.Muon()._should_use_adamw(rows)
        assert not module.Muon(exclude_embeddings=False)._should_use_adamw(rows)


def test_stateless_apply_follows_keras():
    theirs, ours = make_pair("Adam", {"learning_rate": 0.01, "weight_decay": 0.1})
    states = []
    for optimizer, variables in (theirs, ours):
        optimizer.build(variables)
        state = [v.value.detach().clone() for v in optimizer.variables]
        values = [v.value.detach().clone() for v in variables]
        for grads in make_grads(20):
            values, state = optimizer.stateless_apply(
                state, [torch.tensor(g) for g in grads], values
            )
        states.append([*values, *state])
    for a, b in zip(*states, strict=True):
        np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda m: m.SGD(learning_rate=1), ValueError),
        (lambda m: m.SGD(learning_rate="0.1"), ValueError),
        (lambda m: m.SGD(momentum=1), ValueError),
        (lambda m: m.SGD(momentum=1.5), ValueError),
        (lambda m: m.SGD(clipnorm=1.0, clipvalue=1.0), ValueError),
        (lambda m: m.SGD(unknown=1), ValueError),
        (lambda m: m.SGD(gradient_accumulation_steps=1), ValueError),
        (lambda m: m.SGD(use_ema=True, ema_momentum=2.0), ValueError),
        (lambda m: m.SGD(use_ema=True, ema_overwrite_frequency=0.5), ValueError),
        (lambda m: m.AdamW(weight_decay=None), ValueError),
        (lambda m: m.Lion(beta_1=0.0), ValueError),
        (lambda m: m.Ftrl(learning_rate_power=0.5), ValueError),
        (lambda m: m.Ftrl(initial_accumulator_value=-1.0), ValueError),
        (lambda m: m.Ftrl(l1_regularization_strength=-1.0), ValueError),
        (lambda m: m.Ftrl(l2_regularization_strength=-1.0), ValueError),
        (lambda m: m.Ftrl(l2_shrinkage_regularization_strength=-1.0), ValueError),
        (lambda m: m.get("nothing"), ValueError),
        (lambda m: m.get(3), ValueError),
        (lambda m: m.SGD().apply([torch.ones(1)]), ValueError),
        (lambda m: m.SGD().set_weights([]), ValueError),
        (lambda m: m.SGD().stateless_apply([], [], []), ValueError),
    ],
)
def test_errors_have_the_types_of_keras(make, error):
    for module in (keras.optimizers, optimizers):
        with pytest.raises(error):
            make(module)


# Several optimizers


def make_multi(module, variable, **kwargs):
    """A MultiOptimizer of one library, with its variables, by exact path and by expression."""
    inner = [module.SGD(0.05, name="a"), module.Adam(0.01, name="b"), module.RMSprop(name="c")]
    chosen = module.OptimizerMap(inner[0], {"kernel": inner[1], "wi.*": inner[2], "cu.*": inner[2]})
    variables = [variable(v, name=n) for n, v in make_values().items()]
    return module.MultiOptimizer(chosen, name="o", **kwargs), variables


@pytest.mark.parametrize("kwargs", [{}, {"loss_scale_factor": 8.0}], ids=str)
def test_multi_optimizer_follows_keras(kwargs):
    theirs = make_multi(keras.optimizers, keras.Variable, **kwargs)
    ours = make_multi(optimizers, Variable, **kwargs)
    for pair in (theirs, ours):
        run(*pair, make_grads(50))
    assert_same(theirs, ours)
    assert [v.path for v in ours[0].variables] == [v.path for v in theirs[0].variables]
    assert [o.name for o in ours[0].optimizers] == [o.name for o in theirs[0].optimizers]
    assert int(ours[0].iterations) == int(theirs[0].iterations) == 50
    assert [o.loss_scale_factor for o in ours[0].optimizers] == [
        kwargs.get("loss_scale_factor")
    ] * 3
    stateless = make_multi(optimizers, Variable, **kwargs)
    run_statelessly(*stateless, make_grads(50))
    assert_same(theirs, stateless)


def test_multi_optimizer_of_a_function_follows_keras():
    pairs = []
    for module, variable in ((keras.optimizers, keras.Variable), (optimizers, Variable)):
        first, rest = module.Lion(name="a", use_ema=True), module.Nadam(name="b")
        choose = lambda v, first=first, rest=rest: first if len(v.shape) == 2 else rest  # noqa: E731
        variables = [variable(v, name=n) for n, v in make_values().items()]
        pairs.append((module.MultiOptimizer(choose, name="o"), variables))
        run(*pairs[-1], make_grads(30))
        pairs[-1][0].finalize_variable_values(variables)
    assert_same(*pairs)


def test_config_and_state_of_a_multi_optimizer_are_exchangeable():
    theirs = make_multi(keras.optimizers, keras.Variable, loss_scale_factor=4.0)
    ours = make_multi(optimizers, Variable, loss_scale_factor=4.0)
    from_theirs = optimizers.deserialize(keras.optimizers.serialize(theirs[0]))
    from_ours = keras.optimizers.deserialize(optimizers.serialize(ours[0]))
    config = ours[0].get_config()
    assert from_theirs.get_config() != config  # Keras forgets that two keys mean one optimizer
    for key in ("wi.*", "cu.*"):
        del config["optimizer_map"]["config"]["optimizer_map"][key]["shared_object_id"]
    assert from_theirs.get_config() == config
    assert from_ours.get_config() == theirs[0].get_config()  # of other modules than `keras`
    run(*theirs, make_grads(5))
    store = {}
    theirs[0].save_own_variables(store)
    again = optimizers.deserialize(optimizers.serialize(ours[0]))
    again.build(ours[1])
    again.load_own_variables(store)
    for a, b in zip(theirs[1], ours[1], strict=True):
        b.assign(a.value.detach())
    run(*theirs, make_grads(20, seed=2))
    run(again, ours[1], make_grads(20, seed=2))
    assert_same(theirs, (again, ours[1]))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda m, v: m.OptimizerMap("sgd"), TypeError),
        (lambda m, v: m.OptimizerMap(m.SGD(), [m.SGD()]), TypeError),
        (lambda m, v: m.OptimizerMap(m.SGD()).__setitem__("a", "sgd"), ValueError),
        (lambda m, v: m.OptimizerMap(m.SGD()).__setitem__(1, m.SGD()), ValueError),
        (
            lambda m, v: m.OptimizerMap(m.SGD(), {"a": m.SGD()}).__setitem__("a", m.SGD()),
            ValueError,
        ),
        (lambda m, v: m.OptimizerMap(m.SGD(), {"a.": m.SGD(), ".b": m.SGD()})["ab"], ValueError),
        (lambda m, v: m.MultiOptimizer(lambda v: "sgd").build([v(1.0)]), ValueError),
        (
            lambda m, v: m.MultiOptimizer(lambda _: m.LossScaleOptimizer(m.SGD())).build([v(1.0)]),
            ValueError,
        ),
        (lambda m, v: m.MultiOptimizer(m.OptimizerMap(m.SGD())).learning_rate, AttributeError),
        (lambda m, v: m.MultiOptimizer(m.OptimizerMap(m.SGD())).set_weights([]), ValueError),
    ],
)
def test_errors_of_multi_optimizers_have_the_types_of_keras(make, error):
    for module, variable in ((keras.optimizers, keras.Variable), (optimizers, Variable)):
        with pytest.raises(error):
            make(module, variable)


@pytest.mark.parametrize("name", ["Adagrad", "Adam", "Ftrl", "RMSprop", "SGD", "Optimizer"])
def test_legacy_names_are_the_import_errors_of_keras(name):
    for module in (keras.optimizers, optimizers):
        with pytest.raises(ImportError, match="legacy"):
            getattr(module.legacy, name)(0.1)
