import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from torchkeras import optimizers
from torchkeras.core import serialization
from torchkeras.core.variable import Variable
from torchkeras.optimizers import SGD, Adam, AdamW, Optimizer, schedules

CLASSES = ["SGD", "RMSprop", "Adam", "AdamW", "Adagrad", "Adadelta", "Adamax", "Nadam", "Lion"]
CLASSES += ["Ftrl", "Lamb", "Adafactor", "Muon", "ScheduleFreeAdamW"]
EVERYTHING = {
    "weight_decay": 0.1,
    "clipnorm": 1.0,
    "use_ema": True,
    "ema_momentum": 0.5,
    "ema_overwrite_frequency": 2,
    "gradient_accumulation_steps": 2,
    "loss_scale_factor": 4.0,
}


def make_variables(dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        Variable(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype), name=name)
        for name, shape in (("kernel", (4, 3)), ("bias", (3,)), ("scale", ()))
    ]


def make_grads(seed=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        for shape in ((4, 3), (3,), ())
    ]


def values(variables):
    return [v.value.detach().clone() for v in variables]


def assert_close(ours, expected, **tolerance):
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), **tolerance)


def plain(cls):
    """The same rule without its kernel."""
    return type(
        cls.__name__,
        (cls,),
        {"update_step": lambda self, *args: super(type(self), self).update_step(*args)},
    )


# The order of one step


def test_sgd_subtracts_learning_rate_times_gradient():
    v = Variable([1.0, 2.0])
    SGD(learning_rate=0.5).apply([torch.tensor([2.0, -2.0])], [v])
    assert v.numpy().tolist() == [0.0, 3.0]


def test_iterations_count_calls_and_apply_gradients_returns_them():
    v, optimizer = Variable([1.0]), SGD()
    assert int(optimizer.iterations) == 0
    assert int(optimizer.apply_gradients(zip([torch.ones(1)], [v], strict=True))) == 1
    optimizer.apply([torch.ones(1)])
    assert int(optimizer.iterations) == 2
    assert optimizer.iterations.dtype == "int32"


def test_empty_list_of_gradients_does_nothing():
    optimizer = SGD()
    optimizer.apply([])
    assert int(optimizer.iterations) == 0 and not optimizer.built


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("kwargs", [{}, EVERYTHING], ids=["default", "everything"])
def test_gradients_passed_in_are_not_modified(name, kwargs):
    variables, grads = make_variables(), make_grads()
    before = [g.clone() for g in grads]
    optimizer = getattr(optimizers, name)(**kwargs)
    for _ in range(4):
        optimizer.apply(grads, variables)
    assert all(torch.equal(a, b) for a, b in zip(grads, before, strict=True))


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("kwargs", [{}, EVERYTHING], ids=["default", "everything"])
def test_kernel_and_update_step_agree(name, kwargs):
    cls = getattr(optimizers, name)
    pairs = [(cls(**kwargs), make_variables()), (plain(cls)(**kwargs), make_variables())]
    assert pairs[0][0]._can_use_kernels() and not pairs[1][0]._can_use_kernels()
    for optimizer, variables in pairs:
        for step in range(7):
            optimizer.apply(make_grads(step), variables)
    assert_close(values(pairs[0][1]), values(pairs[1][1]))
    assert_close(values(pairs[0][0].variables), values(pairs[1][0].variables))


def test_variables_keep_being_the_parameters_they_were():
    linear = nn.Linear(3, 2)
    variables = [Variable._of_slot(linear._parameters, n, n) for n in ("weight", "bias")]
    weight, memory = linear.weight, linear.weight.data_ptr()
    before = weight.detach().clone()
    Adam(0.1).apply([torch.ones(2, 3), torch.ones(2)], variables)
    assert linear.weight is weight and weight.data_ptr() == memory
    assert weight.requires_grad and weight.grad_fn is None
    torch.testing.assert_close(weight.detach(), before - 0.1)


@pytest.mark.parametrize("rate", [1e-14, 1e-8, 1e-3, 10.0, 0.0])
def test_momentum_holds_the_exact_learning_rate(rate):
    v = Variable([0.0], dtype="float64")
    optimizer = SGD(rate, momentum=0.5)
    optimizer.learning_rate.assign(rate)
    exact = float(optimizer.learning_rate)
    for _ in range(2):
        optimizer.apply([torch.ones(1, dtype=torch.float64)], [v])
    np.testing.assert_allclose(v.numpy(), [-2.5 * exact], rtol=1e-9)


@pytest.mark.parametrize("kernel", [True, False])
def test_adam_without_decay_of_squares_stays_finite(kernel):
    v = Variable([1.0])  # 1 - beta_2**t is 0, and so is the step
    (Adam if kernel else plain(Adam))(0.5, beta_2=1.0).apply([torch.ones(1)], [v])
    assert v.numpy().tolist() == [1.0]


@pytest.mark.gpu
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("kwargs", [{}, EVERYTHING], ids=["default", "everything"])
def test_cuda_agrees_with_the_cpu(name, kwargs):
    results = []
    for device in ("cpu", "cuda"):
        variables = [Variable(v.value.detach().to(device)) for v in make_variables()]
        optimizer = getattr(optimizers, name)(0.1, **kwargs)
        for step in range(5):
            optimizer.apply([g.to(device) for g in make_grads(step)], variables)
        assert optimizer._plan(variables) is not None
        results.append([v.cpu() for v in values([*variables, *optimizer.variables])])
    assert_close(results[1], results[0], rtol=1e-5, atol=1e-6)


# Gradients as they come


def test_missing_gradient_warns_and_leaves_the_variable():
    a, b = Variable([1.0], name="a"), Variable([1.0], name="b")
    optimizer = Adam(0.5)
    with pytest.warns(UserWarning, match=r"Gradients do not exist for variables \['a'\]"):
        optimizer.apply([None, torch.ones(1)], [a, b])
    assert a.numpy()[0] == 1.0 and b.numpy()[0] == pytest.approx(0.5, abs=1e-5)


def test_no_gradient_at_all_is_an_error():
    with pytest.raises(ValueError, match="No gradients provided for any variable"):
        SGD().apply([None], [Variable([1.0])])


def test_wrong_shape_is_an_error_that_names_the_variable():
    v = Variable([1.0, 2.0], name="w")
    with pytest.raises(ValueError, match=r"'w'.*\(2,\).*Received.*\(3,\)"):
        Adam().apply([torch.ones(3)], [v])
    assert v.numpy().tolist() == [1.0, 2.0]


def test_wrong_number_of_gradients_is_an_error():
    v = Variable([1.0])
    with pytest.raises(ValueError, match="2 gradients for 1 variables"):
        SGD().apply([torch.ones(1)] * 2, [v])


def test_gradients_without_variables_need_a_built_optimizer():
    with pytest.raises(ValueError, match="must be built"):
        SGD().apply([torch.ones(1)])


def test_unknown_variable_is_an_error():
    optimizer = SGD()
    optimizer.apply([torch.ones(1)], [Variable([1.0])])
    with pytest.raises(ValueError, match="Unknown variable.*other"):
        optimizer.apply([torch.ones(1)], [Variable([1.0], name="other")])


def test_building_on_tensors_is_an_error():
    with pytest.raises(TypeError, match="keras Variables.*Parameter"):
        SGD().build([nn.Parameter(torch.ones(1))])


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
@pytest.mark.parametrize(
    "make",
    [
        lambda g: g.t().contiguous().t(),
        lambda g: g.to_sparse(),
        lambda g: g.double(),
        lambda g: g.numpy(),
        lambda g: nn.Parameter(g),
        lambda g: torch.stack([g, g], -1)[..., 0],
    ],
    ids=["transposed", "sparse", "float64", "numpy", "parameter", "strided"],
)
def test_gradient_of_any_layout_gives_the_same_update(name, make):
    grad = torch.arange(12.0).reshape(4, 3) - 5
    results = []
    for form in (grad, make(grad)):
        v = Variable(torch.zeros(4, 3))
        optimizer = getattr(optimizers, name)(0.1)
        for _ in range(3):
            optimizer.apply([form], [v])
        results.append(v.value.detach())
    torch.testing.assert_close(results[1], results[0])


def test_another_handle_on_the_same_slot_is_the_same_variable():
    linear = nn.Linear(2, 2, bias=False)
    optimizer = SGD(1.0)
    linear.weight.data.zero_()
    for step in (1, 2):
        handle = Variable._of_slot(linear._parameters, "weight", "weight")
        optimizer.apply([torch.ones(2, 2)], [handle])
        assert linear.weight[0, 0].item() == -step
    assert len(optimizer._trainable_variables) == 1


def test_a_part_of_the_variables_can_be_updated():
    a, b = Variable([0.0]), Variable([0.0])
    optimizer = SGD(1.0, momentum=0.5)
    optimizer.build([a, b])
    for variables in ([b], [a], [b]):
        optimizer.apply([torch.ones(1)], variables)
    assert a.numpy()[0] == -1.0 and b.numpy()[0] == -2.5


# Tensors that change under the optimizer


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", CLASSES)
def test_every_float_dtype_is_updated_in_its_own_dtype(name, dtype):
    variables = make_variables(dtype)
    expected = make_variables(torch.float64)
    for group in (variables, expected):
        optimizer = getattr(optimizers, name)(0.125)
        for step in range(3):
            optimizer.apply(make_grads(step, group[0].value.dtype), group)
        assert all(v.dtype == group[0].dtype for v in optimizer.variables[2:] if v.ndim == 2)
    tolerance = {torch.float64: 1e-12, torch.float16: 0.01, torch.bfloat16: 0.08}[dtype]
    assert_close(
        [v.double() for v in values(variables)], values(expected), rtol=tolerance, atol=tolerance
    )


def test_variables_of_mixed_dtypes_are_updated_together():
    a, b = Variable([1.0], dtype="float32"), Variable([1.0], dtype="float64")
    optimizer = Adam(0.5, global_clipnorm=1.0, use_ema=True, gradient_accumulation_steps=2)
    for _ in range(4):
        optimizer.apply([torch.ones(1), torch.ones(1, dtype=torch.float64)], [a, b])
    assert a.dtype == "float32" and b.dtype == "float64"
    assert a.numpy()[0] == pytest.approx(0.0, abs=1e-5)
    assert b.numpy()[0] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("name", CLASSES)
def test_state_follows_a_model_that_is_cast(name):
    linear = nn.Linear(3, 2)
    variables = [Variable._of_slot(linear._parameters, n, n) for n in ("weight", "bias")]
    optimizer = getattr(optimizers, name)(0.125, use_ema=True)
    optimizer.apply([torch.ones(2, 3), torch.ones(2)], variables)
    before = [v.value.double() for v in optimizer.variables[2:]]
    linear.double()
    grads = [torch.ones(2, 3).double(), torch.ones(2).double()]
    optimizer._plan(variables)
    assert_close([v.value.double() for v in optimizer.variables[2:]], before)
    optimizer.apply(grads, variables)
    assert linear.weight.dtype is torch.float64
    assert all(v.dtype == "float64" for v in optimizer.variables[2:] if v.shape == (2, 3))


def test_swapped_parameters_are_the_ones_updated():
    linear = nn.Linear(3, 2, bias=False)
    variables = [Variable._of_slot(linear._parameters, "weight", "weight")]
    optimizer = Adam(0.5)
    optimizer.apply([torch.ones(2, 3)], variables)
    old = linear.weight
    linear.load_state_dict({"weight": torch.zeros(2, 3)}, assign=True)
    assert linear.weight is not old
    optimizer.apply([torch.ones(2, 3)], variables)
    torch.testing.assert_close(linear.weight.detach(), torch.full((2, 3), -0.5))


def test_change_of_memory_format_keeps_the_entries_in_place():
    conv = nn.Conv2d(3, 4, 2, bias=False)
    twin = copy.deepcopy(conv)
    for model in (conv, twin):
        variables = [Variable._of_slot(model._parameters, "weight", "weight")]
        optimizer = Adam(0.1)
        for step in range(3):
            grad = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(step))
            if step == 1 and model is twin:
                model.to(memory_format=torch.channels_last)
            optimizer.apply([grad], variables)
    assert optimizer._plan(variables) is not None  # the state took the new format, too
    assert twin.weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(twin.weight, conv.weight)


def test_counter_and_learning_rate_stay_on_the_cpu():
    with torch.device("meta"):
        optimizer = Adam()
    assert {v.value.device.type for v in optimizer.variables} == {"cpu"}


# Options


@pytest.mark.parametrize("kernel", [True, False])
def test_clipnorm_scales_each_gradient_to_the_norm(kernel):
    a, b = Variable([0.0, 0.0]), Variable([0.0])
    optimizer = (SGD if kernel else plain(SGD))(1.0, clipnorm=1.0)
    optimizer.apply([torch.tensor([3.0, 4.0]), torch.tensor([0.5])], [a, b])
    np.testing.assert_allclose(a.numpy(), [-0.6, -0.8], rtol=1e-6)
    assert b.numpy()[0] == -0.5


@pytest.mark.parametrize("kernel", [True, False])
def test_global_clipnorm_scales_all_gradients_alike(kernel):
    a, b = Variable([0.0, 0.0]), Variable([0.0])
    optimizer = (SGD if kernel else plain(SGD))(1.0, global_clipnorm=6.5)
    optimizer.apply([torch.tensor([3.0, 4.0]), torch.tensor([12.0])], [a, b])  # norm 13
    np.testing.assert_allclose(a.numpy(), [-1.5, -2.0], rtol=1e-6)
    np.testing.assert_allclose(b.numpy(), [-6.0], rtol=1e-6)


@pytest.mark.parametrize("kernel", [True, False])
def test_global_clipnorm_shows_an_infinite_norm(kernel):
    v = Variable([0.0, 0.0])
    optimizer = (SGD if kernel else plain(SGD))(1.0, global_clipnorm=1.0)
    optimizer.apply([torch.tensor([1.0, float("inf")])], [v])
    assert np.isnan(v.numpy()).all()


def test_clipvalue_limits_each_entry():
    v = Variable([0.0, 0.0, 0.0])
    SGD(1.0, clipvalue=0.5).apply([torch.tensor([3.0, -4.0, 0.25])], [v])
    assert v.numpy().tolist() == [-0.5, 0.5, -0.25]


def test_zero_gradient_passes_every_clip():
    for kwargs in ({"clipnorm": 1.0}, {"global_clipnorm": 1.0}, {"clipvalue": 1.0}):
        v = Variable([1.0])
        SGD(1.0, **kwargs).apply([torch.zeros(1)], [v])
        assert v.numpy()[0] == 1.0


def test_float16_norm_does_not_overflow():
    v = Variable(torch.zeros(4, dtype=torch.float16))
    SGD(1.0, clipnorm=1.0).apply([torch.full((4,), 6e4, dtype=torch.float16)], [v])
    np.testing.assert_allclose(v.numpy(), [-0.5] * 4, rtol=1e-2)


def test_options_can_be_changed_between_steps():
    v, optimizer = Variable([0.0]), SGD(1.0)
    optimizer.apply([torch.tensor([4.0])], [v])
    optimizer.clipvalue = 1.0
    optimizer.apply([torch.tensor([4.0])], [v])
    assert v.numpy()[0] == -5.0


@pytest.mark.parametrize("cls", [SGD, AdamW])
def test_weight_decay_multiplies_by_one_minus_rate_times_decay(cls):
    v = Variable([2.0])
    cls(0.5, weight_decay=0.25).apply([torch.zeros(1)], [v])
    assert v.numpy()[0] == pytest.approx(2.0 * (1 - 0.5 * 0.25))


@pytest.mark.parametrize("cls", [AdamW, SGD, plain(SGD)])
def test_excluded_variables_do_not_decay(cls):
    kernel, bias, gamma = (Variable([1.0], name=n) for n in ("kernel", "bias", "gamma"))
    optimizer = cls(0.5, weight_decay=1.0)
    variables, grads = [kernel, bias, gamma], [torch.zeros(1)] * 3
    optimizer.exclude_from_weight_decay(var_list=[gamma], var_names=["bias"])
    optimizer.apply(grads, variables)
    assert [v.numpy()[0] for v in variables] == [0.5, 1.0, 1.0]
    optimizer.exclude_from_weight_decay()
    optimizer.apply(grads, variables)
    assert [v.numpy()[0] for v in variables] == [0.25, 0.5, 0.5]


def test_moving_average_starts_with_the_first_update():
    v = Variable([3.0])
    optimizer = SGD(1.0, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3)
    averages, seen = [], []
    for _ in range(3):
        optimizer.apply([torch.ones(1)], [v])
        averages.append(float(optimizer._model_variables_moving_average[0][0]))
        seen.append(v.numpy()[0])
    np.testing.assert_allclose(averages, [2.0, 1.9, 0.9 * 1.9], rtol=1e-6)
    np.testing.assert_allclose(seen, [2.0, 1.0, 0.9 * 1.9], rtol=1e-6)


def test_finalize_sets_the_variables_to_their_averages():
    v = Variable([0.0])
    optimizer = SGD(1.0, use_ema=True, ema_momentum=0.5)
    for _ in range(2):
        optimizer.apply([torch.ones(1)], [v])
    optimizer.finalize_variable_values([v])
    assert v.numpy()[0] == -1.5
    with pytest.raises(ValueError, match="belong to 1 variables.*Received: a list of 2"):
        optimizer.finalize_variable_values([v, v])


def test_finalize_without_averages_does_nothing():
    v = Variable([1.0])
    SGD().finalize_variable_values([v])
    assert v.numpy()[0] == 1.0


def test_accumulated_gradients_are_averaged():
    v = Variable([1.0, 2.0])
    optimizer = SGD(1.0, gradient_accumulation_steps=3)
    for step, grad in enumerate([1.0, 2.0, 6.0], start=1):
        assert v.numpy().tolist() == [1.0, 2.0]
        optimizer.apply([torch.full((2,), grad)], [v])
        assert int(optimizer._iterations) == step
        assert int(optimizer.iterations) == step // 3
    assert v.numpy().tolist() == [-2.0, -1.0]
    assert optimizer._accumulated_gradients[0].numpy().tolist() == [0.0, 0.0]


def test_loss_scale_multiplies_the_loss_and_divides_the_gradient():
    v = Variable([1.0])
    optimizer = SGD(1.0, loss_scale_factor=1024.0)
    assert optimizer.scale_loss(1.0) == 1024.0
    optimizer.apply([torch.tensor([512.0])], [v])
    assert v.numpy()[0] == 0.5
    assert SGD().scale_loss(3.0) == 3.0


@pytest.mark.parametrize("cls", [SGD, plain(SGD)])
def test_constraint_is_applied_after_the_update(cls):
    v = Variable([1.0, -1.0])
    v.constraint = lambda w: torch.clamp(w, min=0.0)
    cls(0.5).apply([torch.ones(2)], [v])
    assert v.numpy().tolist() == [0.5, 0.0]


def test_overwrite_with_gradient():
    v, w = Variable([1.0, 2.0]), Variable([1.0, 2.0])
    v.overwrite_with_gradient = True
    optimizer = Adam(1.0)
    optimizer.apply([torch.tensor([5.0, 6.0]), torch.ones(2)], [v, w])
    assert v.numpy().tolist() == [5.0, 6.0]
    np.testing.assert_allclose(w.numpy(), [0.0, 1.0], atol=1e-5)
    assert optimizer._momentums[0] is None and len(optimizer.variables) == 4


@pytest.mark.parametrize("kernel", [True, False])
def test_overwrite_with_gradient_takes_the_maximum_while_accumulating(kernel):
    v, w = Variable([1.0]), Variable([1.0])
    v.overwrite_with_gradient = True
    optimizer = (SGD if kernel else plain(SGD))(1.0, gradient_accumulation_steps=2)
    optimizer.apply([torch.tensor([3.0]), torch.tensor([1.0])], [v, w])
    assert (v.numpy()[0], w.numpy()[0]) == (1.0, 1.0)
    optimizer.apply([torch.tensor([2.0]), torch.tensor([2.0])], [v, w])
    assert (v.numpy()[0], w.numpy()[0]) == (3.0, -0.5)
    assert [a.numpy()[0] for a in optimizer._accumulated_gradients] == [0.0, 0.0]


def test_moving_average_leaves_overwritten_variables_out():
    v, w = Variable([1.0]), Variable([1.0])
    v.overwrite_with_gradient = True
    optimizer = SGD(1.0, use_ema=True)
    optimizer.apply([torch.tensor([3.0]), torch.tensor([1.0])], [v, w])
    optimizer.finalize_variable_values([v, w])
    assert (v.numpy()[0], w.numpy()[0]) == (3.0, 0.0)


# Learning rate


def test_learning_rate_is_a_variable_that_can_be_set():
    optimizer = SGD(0.5)
    assert isinstance(optimizer.learning_rate, Variable)
    optimizer.learning_rate = 0.25
    v = Variable([1.0])
    optimizer.apply([torch.ones(1)], [v])
    assert v.numpy()[0] == 0.75


def test_learning_rate_can_be_a_variable():
    rate = Variable(0.5)
    optimizer = SGD(rate)
    assert float(optimizer.learning_rate) == 0.5


def test_learning_rate_can_be_a_function():
    v, optimizer = Variable([1.0]), SGD(lambda: 0.25)
    optimizer.apply([torch.ones(1)], [v])
    assert v.numpy()[0] == 0.75 and len(optimizer.variables) == 1
    with pytest.raises(TypeError, match="comes from a function"):
        optimizer.learning_rate = 0.5


def test_schedule_counts_calls_and_cannot_be_set_to_a_number():
    optimizer = SGD(schedules.PiecewiseConstantDecay([0, 1], [1.0, 0.5, 0.25]))
    v = Variable([0.0])
    for expected in (-1.0, -1.5, -1.75):
        optimizer.apply([torch.ones(1)], [v])
        assert v.numpy()[0] == expected
    with pytest.raises(TypeError, match="not settable.*Received: learning_rate=0.1"):
        optimizer.learning_rate = 0.1


def test_schedule_of_ones_own_gets_the_counter():
    class Halving(schedules.LearningRateSchedule):
        def __call__(self, step):
            assert isinstance(step, Variable)
            return 1.0 / (step + 1)

    v, optimizer = Variable([0.0]), SGD(Halving())
    for expected in (-1.0, -1.5):
        optimizer.apply([torch.ones(1)], [v])
        assert v.numpy()[0] == expected


def test_overridden_call_of_a_schedule_is_used():
    class Constant(schedules.ExponentialDecay):
        def __call__(self, step):
            return 2.0

    v = Variable([0.0])
    SGD(Constant(1.0, 1, 0.5)).apply([torch.ones(1)], [v])
    assert v.numpy()[0] == -2.0


def test_setting_a_schedule_drops_the_learning_rate_variable():
    optimizer = Adam(0.5)
    assert len(optimizer.variables) == 2
    optimizer.learning_rate = schedules.PolynomialDecay(optimizer.learning_rate, 4)
    assert len(optimizer.variables) == 1
    assert float(optimizer.learning_rate) == 0.5


# Subclasses


def test_subclass_with_its_own_update_step_and_state():
    class Signed(Optimizer):
        def build(self, variables):
            super().build(variables)
            self.counts = [
                self.add_variable_from_reference(v, name="count", initializer="ones")
                for v in variables
            ]
            self.total = Variable(0.0, trainable=False, name="total")

        def update_step(self, gradient, variable, learning_rate):
            assert isinstance(learning_rate, Variable)
            count = self.counts[self._get_variable_index(variable)]
            self.assign_add(count, torch.ones_like(count.value))
            self.assign_sub(variable, learning_rate * torch.sign(gradient))
            self.assign(self.total, self.total + 1)

    v = Variable([1.0, 1.0], name="w")
    optimizer = Signed(0.5, name="signed")
    for _ in range(2):
        optimizer.apply([torch.tensor([3.0, -3.0])], [v])
    assert v.numpy().tolist() == [0.0, 2.0]
    paths = [s.path for s in optimizer.variables]
    assert paths[2] == "signed/w_count" and paths[3].endswith("total")
    assert optimizer.counts[0].numpy().tolist() == [3.0, 3.0]


def test_subclass_without_update_step_is_told_what_to_define():
    class Nothing(Optimizer):
        pass

    with pytest.raises(NotImplementedError, match="'Nothing' must define `update_step"):
        Nothing(0.5).apply([torch.ones(1)], [Variable([1.0])])


def test_subclass_that_forgets_super_is_told_so():
    class Forgetful(Optimizer):
        def __init__(self):
            self.momentum = 0.5

    with pytest.raises(RuntimeError, match=r"must call `super\(\).__init__"):
        Forgetful()


def test_lists_of_names_and_initializers_must_match():
    with pytest.raises(ValueError, match="equal length"):
        SGD().add_optimizer_variables([], ["a", "b"], ["zeros"])


# Stateless


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("kwargs", [{}, EVERYTHING], ids=["default", "everything"])
def test_stateless_apply_is_pure_and_agrees_with_apply(name, kwargs):
    variables = make_variables()
    optimizer = getattr(optimizers, name)(0.1, **kwargs)
    optimizer.build(variables)
    params, state = values(variables), values(optimizer.variables)
    for step in range(5):
        inputs = [*params, *state]
        copies, held = [x.clone() for x in inputs], values([*variables, *optimizer.variables])
        grads = make_grads(step)
        params, state = optimizer.stateless_apply(state, grads, params)
        assert all(torch.equal(a, b) for a, b in zip(inputs, copies, strict=True))
        after = values([*variables, *optimizer.variables])
        assert all(torch.equal(a, b) for a, b in zip(after, held, strict=True))
        optimizer.apply(grads, variables)
        assert_close(params, values(variables), rtol=1e-5, atol=1e-6)
        assert_close(state, values(optimizer.variables), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("kwargs", [{}, EVERYTHING], ids=["default", "everything"])
def test_stateless_apply_runs_under_vmap(name, kwargs):
    variables = make_variables()
    optimizer = getattr(optimizers, name)(0.1, **kwargs)
    optimizer.build(variables)
    params, state = values(variables), values(optimizer.variables)
    grads = [torch.stack(g) for g in zip(*(make_grads(s) for s in range(3)), strict=True)]
    batched, _ = torch.func.vmap(optimizer.stateless_apply, in_dims=(None, 0, None))(
        state, grads, params
    )
    for i in range(3):
        single, _ = optimizer.stateless_apply(state, [g[i] for g in grads], params)
        assert_close([b[i] for b in batched], single)


def test_stateless_apply_can_be_differentiated():
    v = Variable([1.0, 2.0])
    optimizer = SGD(0.1)
    optimizer.build([v])
    state = values(optimizer.variables)

    def after_step(w):  # gradient of w**2 is 2w, so the step gives 0.8 w
        return optimizer.stateless_apply(state, [2 * w], [w])[0][0].sum()

    gradient = torch.func.grad(after_step)(torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(gradient, torch.tensor([0.8, 0.8]))


def test_stateless_apply_uses_the_learning_rate_given():
    v = Variable([1.0])
    optimizer = SGD(0.1)
    optimizer.build([v])
    state = [torch.tensor(7, dtype=torch.int32), torch.tensor(0.5)]
    params, state = optimizer.stateless_apply(state, [torch.ones(1)], [torch.ones(1)])
    assert params[0].tolist() == [0.5] and state[0].item() == 8


@pytest.mark.parametrize(
    ("state", "params", "match"),
    [(1, 1, "`optimizer_variables` must be a list of 2"), (2, 2, "`trainable_variables`.*of 1")],
)
def test_stateless_apply_checks_the_lengths(state, params, match):
    optimizer = SGD()
    optimizer.build([Variable([1.0])])
    with pytest.raises(ValueError, match=match):
        optimizer.stateless_apply([torch.ones(())] * state, [], [torch.ones(1)] * params)


# Saving and copying


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"]
)
def test_copy_goes_on_alone_with_the_same_state(name, clone):
    variables = make_variables()
    optimizer = getattr(optimizers, name)(0.1, use_ema=True)
    optimizer.apply(make_grads(0), variables)
    twin = clone(optimizer)
    assert twin.get_config() == optimizer.get_config()
    before = values(variables)
    twin.apply(make_grads(1))
    assert_close(values(variables), before)
    optimizer.apply(make_grads(1), variables)
    assert_close(values(twin._trainable_variables), values(variables))
    assert_close(values(twin.variables), values(optimizer.variables))


def test_own_variables_round_trip():
    variables = make_variables()
    optimizer = Adam(0.25)
    optimizer.apply(make_grads(), variables)
    store = {}
    optimizer.save_own_variables(store)
    assert list(store) == [str(i) for i in range(8)] and store["0"] == 1
    other = Adam()
    other.build(variables)
    other.load_own_variables(store)
    assert_close(values(other.variables), values(optimizer.variables))


def test_loading_into_an_optimizer_that_is_not_built_warns():
    with pytest.warns(UserWarning, match="Skipping variable loading.*2 variables.*has 1"):
        Adam().load_own_variables({"0": np.array(3)})


def test_set_weights():
    v = Variable([1.0, 2.0])
    a, b = Adam(0.5), Adam()
    a.apply([torch.ones(2)], [v])
    with pytest.raises(ValueError, match="not yet been built"):
        b.set_weights(a.variables)
    b.build([v])
    b.set_weights([x.numpy() for x in a.variables])
    assert_close(values(b.variables), values(a.variables))
    with pytest.raises(ValueError, match=r"has shape \(2,\).*Received.*\(3,\)"):
        b.set_weights([*a.variables[:2], np.zeros(3), np.zeros(2)])


@pytest.mark.parametrize("name", CLASSES)
def test_config_round_trip(name):
    kwargs = {k: v for k, v in EVERYTHING.items() if k != "gradient_accumulation_steps"}
    optimizer = getattr(optimizers, name)(schedules.CosineDecay(0.1, 5), **kwargs)
    config = optimizer.get_config()
    untouched = copy.deepcopy(config)
    assert type(optimizer).from_config(config).get_config() == config == untouched
    twin = optimizers.deserialize(optimizers.serialize(optimizer))
    assert type(twin) is type(optimizer) and twin.get_config() == config


def test_config_holds_the_float32_value_of_the_learning_rate_now():
    optimizer = Adam(0.5)
    optimizer.learning_rate = 0.001
    assert optimizer.get_config()["learning_rate"] == float(np.float32(0.001))


def test_decay_argument_of_old_versions_warns():
    with pytest.warns(UserWarning, match="`decay` has no effect"):
        SGD(decay=0.1)


# get


@pytest.mark.parametrize("name", [*CLASSES, "ADAM", "sgd", "adamw", "rmsprop"])
def test_get_by_name_in_any_case(name):
    assert type(optimizers.get(name)).__name__.lower() == name.lower()


def test_get_returns_optimizers_and_none_as_they_are():
    optimizer = SGD()
    assert optimizers.get(optimizer) is optimizer and optimizers.get(None) is None


def test_get_from_a_short_config_that_stays_as_it_is():
    config = {"class_name": "adam", "config": {"learning_rate": 0.5}}
    assert float(optimizers.get(config).learning_rate) == 0.5
    assert config == {"class_name": "adam", "config": {"learning_rate": 0.5}}


@pytest.mark.parametrize("identifier", ["Typo", "optimizer", 3, {}, {"a": 1}, SGD])
def test_get_of_anything_else_is_an_error(identifier):
    with pytest.raises(ValueError, match="Could not interpret optimizer identifier") as caught:
        optimizers.get(identifier)
    assert f"Received: {identifier!r}. The names are: adadelta, " in str(caught.value)


def test_registered_class_is_found():
    @serialization.register_keras_serializable("optimizer_tests")
    class Adam(optimizers.SGD):
        pass

    config = optimizers.serialize(Adam(0.5))
    assert config["registered_name"] == "optimizer_tests>Adam"
    assert type(optimizers.deserialize(config)) is Adam
    assert type(optimizers.get("optimizer_tests>Adam")) is Adam


def test_custom_objects_come_first():
    class Adam(optimizers.SGD):
        pass

    config = {"class_name": "Adam", "config": {}}
    assert type(optimizers.deserialize(config, custom_objects={"Adam": Adam})) is Adam


def test_config_of_an_unknown_class_is_an_error():
    with pytest.raises(ValueError, match="neither a class of torchkeras nor a registered one"):
        optimizers.deserialize({"class_name": "Unheard", "module": "os", "config": {}})


# Sharded tensors


@pytest.mark.parametrize("name", CLASSES)
def test_sharded_variables_get_sharded_state(name, tmp_path):
    distributed = torch.distributed
    if not distributed.is_available() or distributed.is_initialized():
        pytest.skip("needs a process group of its own")
    from torch.distributed.tensor import DTensor, Shard, distribute_tensor, init_device_mesh

    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:
        mesh = init_device_mesh("cpu", (1,))
        kwargs = {**EVERYTHING, "ema_overwrite_frequency": None}
        ordinary, sharded = Variable(torch.ones(4, 3)), Variable(torch.ones(4, 3))
        ours, theirs = (getattr(optimizers, name)(0.1, **kwargs) for _ in range(2))
        theirs.build([sharded])  # before it is sharded, as with FSDP after compile
        sharded._store[sharded._key] = nn.Parameter(
            distribute_tensor(sharded.value.detach(), mesh, [Shard(0)])
        )
        for step in range(4):
            grad = make_grads(step)[0]
            ours.apply([grad], [ordinary])
            theirs.apply([distribute_tensor(grad, mesh, [Shard(0)])], [sharded])
        assert isinstance(sharded.value, DTensor)
        assert all(isinstance(v.value, DTensor) for v in theirs.variables if v.shape == (4, 3))
        torch.testing.assert_close(sharded.value.full_tensor(), ordinary.value)
    finally:
        distributed.destroy_process_group()
