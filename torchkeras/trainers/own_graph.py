"""Steps of the user's own as one graph each: `train_step`, `test_step`, `predict_step`."""

import torch

from torchkeras.core import tree
from torchkeras.optimizers.graph_update import let_into_graphs
from torchkeras.optimizers.optimizer import Optimizer
from torchkeras.optimizers.torch_optimizer import TorchOptimizer
from torchkeras.trainers.graph import compile_call
from torchkeras.trainers.graph_step import GraphStep
from torchkeras.trainers.stateless_step import takes_state


class OwnStep(GraphStep):
    """A step of the user's own, in torch's form or in JAX's, that runs as one graph.

    Whatever torch cannot trace in it leaves it eager; then the model's call alone is compiled.
    `optimizer.apply` is one op of the graph, and does what it does without.
    """

    name, what = "train_step", "training step"

    def __init__(self, model, running, warns=True):
        super().__init__(model, running, warns)
        self._step = getattr(model, self.name)
        self._takes_state = takes_state(self._step)

    def fits(self, running):
        """Whether the graphs are those of this step, in a loop that has looked up `running`."""
        return super().fits(running) and getattr(self._model, self.name) == self._step

    def by_state(self, state, data):
        """The step, where it has JAX's form."""
        return self((state, data), data)

    def _look_up(self):
        self._variables, self._known = [], False  # torch looks before each call
        for value in [self._model.optimizer, *vars(self._model).values()]:
            if isinstance(value, (Optimizer, TorchOptimizer)):
                let_into_graphs(value)

    def _refuse(self, error):
        super()._refuse(error)
        compile_call(self._model)

    def _run_eagerly(self, data):
        return self._step(*data) if self._takes_state else self._step(data)

    def _function(self):
        model, name = self._model, self.name
        takes_state, trains = self._takes_state, name == "train_step"

        def step(data):
            with torch.set_grad_enabled(trains):
                own = getattr(model, name)
                results = own(*data) if takes_state else own(data)
                model._clear_losses()
            return tree.map_structure(_detached, results)

        return step

    def _finish(self, data, results):
        return results


class OwnTestStep(OwnStep):
    """A `test_step` of the user's own."""

    name, what = "test_step", "evaluation step"


class OwnPredictStep(OwnStep):
    """A `predict_step` of the user's own."""

    name, what = "predict_step", "prediction"


def _detached(value):
    return value.detach() if isinstance(value, torch.Tensor) else value


OWN_STEPS = {step.name: step for step in (OwnStep, OwnTestStep, OwnPredictStep)}
