"""What was chosen for an optimizer or a schedule is in its config, and in files of a model."""

import inspect
import warnings

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import optimizers
from torchkeras.optimizers import schedules

CLASSES = {
    name: getattr(optimizers, name)
    for name in ("SGD RMSprop Adam AdamW Adagrad Adadelta Adamax Nadam Lion").split()
}
SCHEDULES = {
    name: cls
    for name, cls in vars(schedules).items()
    if inspect.isclass(cls) and cls is not schedules.LearningRateSchedule
}
# Other than every default, and together allowed.
CHOICES = {
    "learning_rate": 0.25,
    "weight_decay": 0.125,
    "clipnorm": 2.0,
    "use_ema": True,
    "ema_momentum": 0.5,
    "ema_overwrite_frequency": 3,
    "loss_scale_factor": 4.0,
    "gradient_accumulation_steps": 2,
    "name": "chosen",
    "momentum": 0.5,
    "nesterov": True,
    "rho": 0.75,
    "epsilon": 0.5,
    "centered": True,
    "beta_1": 0.5,
    "beta_2": 0.625,
    "amsgrad": True,
    "initial_accumulator_value": 0.25,
    "initial_learning_rate": 0.75,
    "decay_steps": 7,
    "first_decay_steps": 7,
    "decay_rate": 0.25,
    "staircase": True,
    "alpha": 0.125,
    "warmup_target": 0.5,
    "warmup_steps": 3,
    "t_mul": 3.0,
    "m_mul": 0.5,
    "boundaries": [2, 4],
    "values": [1.0, 0.5, 0.25],
    "end_learning_rate": 0.125,
    "power": 2.0,
    "cycle": True,
}


def arguments(cls):
    parameters = inspect.signature(cls.__init__).parameters.values()
    return [p for p in parameters if p.name != "self" and p.kind is not p.VAR_KEYWORD]


@pytest.mark.parametrize("cls", [*CLASSES.values(), *SCHEDULES.values()])
def test_every_argument_of_every_class_is_in_its_config(cls):
    others = {"clipnorm", "clipvalue", "global_clipnorm"}
    for clip in sorted(others) if cls in CLASSES.values() else [None]:
        chosen = {
            p.name: CHOICES["clipnorm" if p.name == clip else p.name]
            for p in arguments(cls)
            if p.name not in others - {clip}
        }
        for p in arguments(cls):
            if p.name in chosen:
                assert p.default is p.empty or p.default != chosen[p.name], p.name
        config = cls(**chosen).get_config()
        assert {name: config[name] for name in chosen} == chosen
        assert cls.from_config(config).get_config() == config


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_what_is_changed_afterwards_is_in_the_config(cls):
    optimizer = cls()
    names = [p.name for p in arguments(cls) if p.name not in ("name", "learning_rate")]
    for name in names:
        setattr(optimizer, name, CHOICES.get(name, 2.0))
    config = optimizer.get_config()
    assert {n: config[n] for n in names} == {n: CHOICES.get(n, 2.0) for n in names}


def decays(optimizer, model):
    """Of each weight, whether a step without a gradient shrinks it."""
    for weight in model.weights:
        weight.assign(torch.ones(weight.shape))
    optimizer.apply([torch.zeros(w.shape) for w in model.weights], model.trainable_variables)
    return [bool((weight.numpy() < 1).all()) for weight in model.weights]


def small_model():
    return keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(2, name="first"),
            keras.layers.LayerNormalization(name="norm"),
            keras.layers.Dense(1, name="last"),
        ]
    )


@pytest.mark.parametrize("ending", [".keras", ".safetensors"])
@pytest.mark.parametrize("cls", [optimizers.AdamW, optimizers.SGD])
@pytest.mark.parametrize("trained", [True, False])
def test_files_keep_what_weight_decay_leaves_alone(cls, ending, trained, tmp_path):
    model = small_model()
    optimizer = cls(0.5, weight_decay=0.5)
    chosen = [model.get_layer("last").kernel]
    optimizer.exclude_from_weight_decay(var_list=chosen, var_names=["bias", "^gamma$", "beta"])
    model.compile(optimizer, "mse")
    if trained:
        model.fit(np.zeros((2, 2)), np.zeros((2, 1)), verbose=0)
    path = str(tmp_path / f"model{ending}")
    model.save(path)
    loaded = keras.saving.load_model(path)
    loaded.save(path)
    again = keras.saving.load_model(path)
    expected = [True, False, False, False, False, False]
    for each in (model, loaded, again):
        assert decays(each.optimizer, each) == expected
    again.optimizer.exclude_from_weight_decay()
    assert decays(again.optimizer, again) == [True] * 6


def test_a_weight_is_left_alone_under_either_of_its_names():
    first, second = keras.layers.Dense(2), keras.layers.Dense(2)
    first.build((None, 2)), second.build((None, 2))
    second.kernel = first.kernel.value
    model = keras.Sequential([first, second])
    model.build((None, 2))
    assert len(model.weights) == 3
    optimizer = optimizers.SGD(0.5, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[second.kernel])
    assert decays(optimizer, model) == [False, True, True]


def test_a_config_without_exclusions_is_as_keras_has_it():
    assert "exclude_from_weight_decay" not in optimizers.AdamW().get_config()
    optimizer = optimizers.AdamW()
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    expected = {"var_paths": [], "var_names": ["bias"]}
    assert optimizer.get_config()["exclude_from_weight_decay"] == expected


def test_excluded_variables_that_another_model_lacks_give_a_warning():
    model = small_model()
    optimizer = optimizers.AdamW()
    optimizer.exclude_from_weight_decay(var_list=[model.weights[0]])
    twin = optimizers.AdamW.from_config(optimizer.get_config())
    with pytest.warns(UserWarning, match="all but \\['.*first/kernel'\\], which are none"):
        twin.build([keras.Variable([1.0], name="other")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizers.AdamW.from_config(optimizer.get_config()).build(model.trainable_variables)
