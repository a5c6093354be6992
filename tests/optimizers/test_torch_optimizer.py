import copy
import functools

import pytest
import torch
from torch import nn

import torchkeras as keras
from torchkeras import optimizers
from torchkeras.core.variable import Variable
from torchkeras.optimizers import TorchOptimizer


def make_linear():
    linear = nn.Linear(3, 2)
    return linear, [Variable._of_slot(linear._parameters, n, n) for n in ("weight", "bias")]


@pytest.mark.parametrize(
    "make",
    [
        torch.optim.SGD,
        functools.partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1),
        lambda params: torch.optim.RMSprop(params, momentum=0.5),
    ],
    ids=["class", "partial", "function"],
)
def test_updates_are_those_of_the_torch_optimizer(make):
    (linear, variables), (twin, _) = make_linear(), make_linear()
    twin.load_state_dict(linear.state_dict())
    reference = make(twin.parameters())
    optimizer = optimizers.get(make)
    assert isinstance(optimizer, TorchOptimizer)
    x = torch.randn(5, 3)
    for step in range(4):
        for model in (linear, twin):
            model.zero_grad()
            model(x).square().mean().backward()
        optimizer.apply([v.value.grad for v in variables], variables)
        reference.step()
        assert int(optimizer.iterations) == step + 1
    torch.testing.assert_close(linear.weight, twin.weight)
    torch.testing.assert_close(linear.bias, twin.bias)


def test_instance_is_used_as_it_is():
    linear, variables = make_linear()
    inner = torch.optim.SGD(linear.parameters(), lr=0.5)
    optimizer = optimizers.get(inner)
    before = linear.bias.detach().clone()
    optimizer.apply_gradients([(torch.ones(2, 3), variables[0]), (torch.ones(2), variables[1])])
    assert optimizer.optimizer is inner
    torch.testing.assert_close(linear.bias.detach(), before - 0.5)


def test_other_parameters_keep_their_values_and_gradients():
    linear, variables = make_linear()
    optimizer = optimizers.get(functools.partial(torch.optim.SGD, lr=0.5))
    optimizer.build(variables)
    linear.bias.grad = torch.ones(2)
    bias, weight = linear.bias.detach().clone(), linear.weight.detach().clone()
    optimizer.apply([torch.ones(2, 3)], variables[:1])
    assert torch.equal(linear.bias, bias) and torch.equal(linear.bias.grad, torch.ones(2))
    torch.testing.assert_close(linear.weight.detach(), weight - 0.5)


def test_constraint_is_applied():
    _, variables = make_linear()
    variables[0].constraint = lambda w: torch.clamp(w, min=0.0)
    optimizers.get(torch.optim.SGD).apply([torch.ones(2, 3), torch.ones(2)], variables)
    assert (variables[0].value >= 0).all()


def test_learning_rate_is_read_from_the_first_group_and_scales_every_one():
    linear, _ = make_linear()
    inner = torch.optim.SGD([{"params": [linear.weight], "lr": 0.5}, {"params": [linear.bias]}])
    optimizer = optimizers.get(inner)
    assert optimizer.learning_rate == 0.5
    optimizer.learning_rate = 0.25
    assert [group["lr"] for group in inner.param_groups] == [0.25, 0.001 / 2]


def test_tensor_learning_rate_is_filled():
    linear, _ = make_linear()
    rate = torch.tensor(0.5)
    optimizer = optimizers.get(torch.optim.Adam(linear.parameters(), lr=rate))
    optimizer.learning_rate = 0.25
    assert rate.item() == 0.25 and optimizer.learning_rate == 0.25


def test_learning_rate_before_the_build():
    _, variables = make_linear()
    optimizer = optimizers.get(torch.optim.SGD)
    with pytest.raises(ValueError, match="before that.*build"):
        _ = optimizer.learning_rate
    optimizer.learning_rate = 0.125
    assert optimizer.learning_rate == 0.125
    optimizer.build(variables)
    assert optimizer.optimizer.param_groups[0]["lr"] == 0.125


def test_parameters_the_optimizer_lacks_are_named():
    linear, variables = make_linear()
    optimizer = optimizers.get(torch.optim.SGD([linear.weight]))
    with pytest.raises(ValueError, match="does not hold bias.*Build the model before"):
        optimizer.build(variables)


def test_parameters_the_model_lacks_are_named():
    linear, variables = make_linear()
    extra = nn.Parameter(torch.zeros(7))
    optimizer = optimizers.get(torch.optim.SGD([*linear.parameters(), extra]))
    with pytest.raises(ValueError, match=r"shapes \(7,\) that the model lacks"):
        optimizer.build(variables)


def test_frozen_parameters_of_the_optimizer_do_no_harm():
    linear, variables = make_linear()
    frozen = nn.Parameter(torch.zeros(7), requires_grad=False)
    optimizers.get(torch.optim.SGD([*linear.parameters(), frozen])).build(variables)


def test_function_that_makes_something_else_is_an_error():
    _, variables = make_linear()
    with pytest.raises(TypeError, match="must return a torch.optim.Optimizer. Received: 3"):
        optimizers.get(lambda params: 3).build(variables)


def test_neither_optimizer_nor_function_is_an_error():
    with pytest.raises(TypeError, match="Received: 3 of type int"):
        TorchOptimizer(3)


def test_numbers_of_gradients_and_variables_must_agree():
    _, variables = make_linear()
    optimizer = optimizers.get(torch.optim.SGD)
    with pytest.raises(ValueError, match="must be built"):
        optimizer.apply([torch.ones(2, 3)])
    with pytest.raises(ValueError, match="1 gradients for 2 variables"):
        optimizer.apply([torch.ones(2, 3)], variables)


def test_state_dict_passes_through():
    (_, variables), (_, others) = make_linear(), make_linear()
    make = functools.partial(torch.optim.SGD, lr=0.5, momentum=0.5)
    optimizer, twin = optimizers.get(make), optimizers.get(make)
    with pytest.raises(ValueError, match="made at build"):
        optimizer.state_dict()
    optimizer.apply([torch.ones(2, 3), torch.ones(2)], variables)
    twin.build(others)
    twin.load_state_dict(optimizer.state_dict())
    assert torch.equal(twin.state_dict()["state"][1]["momentum_buffer"], torch.ones(2))
    assert optimizer.variables == []


def test_config_is_refused():
    with pytest.raises(ValueError, match="Received: the torch optimizer.*SGD"):
        optimizers.get(torch.optim.SGD).get_config()


# Weights that are frozen, thawed and replaced between steps


class Chain(nn.Module):
    """Three weights in a row, with biases of another shape, so that a function may group them."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1)

    def forward(self, x):
        return self.c(torch.tanh(self.b(torch.tanh(self.a(x)))))


X = torch.linspace(-1, 1, 24).reshape(8, 3)
Y = X.sum(1, keepdim=True).square()
RULES = {
    "sgd": functools.partial(torch.optim.SGD, lr=0.1),
    "momentum": functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9),
    "adamw": functools.partial(torch.optim.AdamW, lr=0.05),
    "groups": lambda params: torch.optim.SGD(
        [
            {"params": [p for p in params if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in params if p.ndim == 1], "lr": 0.2},
        ],
        lr=0.1,
        momentum=0.5,
    ),
}
# What trains in each epoch: of the layers a, b and c.
PLANS = {
    "frozen for another": ["ac", "bc", "ac"],
    "one by one": ["c", "bc", "abc"],
    "all": ["abc", "a", "abc"],
}


def trained_by_torch(chain, rule, plan):
    """The plain loop: an optimizer over all parameters, where frozen ones have no gradient."""
    optimizer = rule(list(chain.parameters()))
    for trained in plan:
        for name, module in chain.named_children():
            module.requires_grad_(name in trained)
        optimizer.zero_grad()
        ((chain(X) - Y) ** 2).mean().backward()
        optimizer.step()
    return chain.state_dict()


class Wrapped(keras.Model):
    def __init__(self, chain):
        super().__init__()
        self.chain = chain

    def call(self, x):
        return self.chain(x)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("kind", ["function", "instance"])
def test_layers_frozen_and_thawed_train_as_in_torch(kind, rule, plan):
    chain = Chain()
    expected = trained_by_torch(copy.deepcopy(chain), rule, plan)
    model = Wrapped(chain)
    model(X)
    model.compile(rule if kind == "function" else rule(list(chain.parameters())), "mse")
    for trained in plan:
        for name, module in chain.named_children():
            module.requires_grad_(name in trained)
        model.fit(X, Y, batch_size=8, epochs=1, verbose=0)
    for name, value in chain.state_dict().items():
        torch.testing.assert_close(value, expected[name], msg=name)


@pytest.mark.parametrize("kind", ["function", "instance"])
def test_weights_replaced_by_assign_are_trained_with_the_state_they_had(kind):
    chain, rule = Chain(), RULES["adamw"]
    twin, model = copy.deepcopy(chain), Wrapped(chain)
    reference = rule(list(twin.parameters()))
    model(X)
    model.compile(rule if kind == "function" else rule(list(chain.parameters())), "mse")
    model.optimizer.build(model.trainable_variables)
    for _ in range(3):
        state = {name: value.clone() for name, value in chain.state_dict().items()}
        chain.load_state_dict(state, assign=True)
        reference.zero_grad()
        ((twin(X) - Y) ** 2).mean().backward()
        reference.step()
        model.fit(X, Y, batch_size=8, verbose=0)
    for name, value in chain.state_dict().items():
        torch.testing.assert_close(value, twin.state_dict()[name])
    held = [p for group in model.optimizer.optimizer.param_groups for p in group["params"]]
    assert list(map(id, held)) == list(map(id, chain.parameters()))


def test_weights_that_an_optimizer_of_the_user_lacks_are_named():
    chain = Chain()
    chain.a.requires_grad_(False)
    model = Wrapped(chain)
    model(X)
    optimizer = torch.optim.SGD([*chain.b.parameters(), *chain.c.parameters()], lr=0.1)
    model.compile(optimizer, "mse")
    model.fit(X, Y, verbose=0)
    chain.a.requires_grad_(True)
    with pytest.raises(ValueError, match="does not hold .*weight.*Build the model before"):
        model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("own_optimizer", [True, False])
def test_no_gradient_is_left_on_what_was_frozen(own_optimizer):
    """An optimizer of the user's own, over all parameters, would step by it."""

    class OwnStep(Wrapped):
        def train_step(self, data):
            x, y = data
            loss = ((self(x) - y) ** 2).mean()
            loss.backward()
            self.own.step()
            return {"loss": loss}

    chain = Chain()
    model = OwnStep(chain) if own_optimizer else Wrapped(chain)
    model(X)
    model.__dict__["own"] = torch.optim.SGD(chain.parameters(), lr=0.1)
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    chain.a.requires_grad_(False)
    before = chain.a.weight.detach().clone()
    model.fit(X, Y, verbose=0)
    assert torch.equal(chain.a.weight, before) and chain.a.weight.grad is None
