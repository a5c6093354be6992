"""Steps of the Trainer as one graph each: forward pass, loss, gradients and metrics."""

import time

import torch

from torchkeras.core import tree
from torchkeras.core.scopes import SCOPE
from torchkeras.core.user_warnings import warn_user
from torchkeras.distribution import process_group
from torchkeras.layers.masks import put_masks
from torchkeras.trainers.data_adapters.data_adapter_utils import unpack_x_y_sample_weight
from torchkeras.trainers.graph import Graph
from torchkeras.trainers.known_code import is_known
from torchkeras.trainers.trace_faults import cause_of

# Batches of so many shapes get a graph each; those of further ones run without.
_MOST_GRAPHS = 8
_ONE_TENSOR = {torch.Tensor}


class GraphStep:
    """A step of one kind that runs as a graph where torch can make one, and eagerly where not.

    There is a graph for each shape of the data. The first batch runs eagerly: what is made at the
    first batch is made, and what is wrong with it is told as without a graph. A shape that comes
    beside others gets its graph when it comes again, so that the rest at the end of a single
    epoch is not compiled for.

    Args:
        model: the model.
        running: Running, the loop's.
        warns: bool, whether to warn where torch makes no graph.

    Attributes:
        failure: str, why there is no graph; None as long as there may be one.
        news: str, a line for the user that was not shown yet; or None.
    """

    def __init__(self, model, running, warns=True):
        self._model = model
        self._warns = warns
        self._trainable = list(running.trainable)
        self._rules = _rules(running)
        self._graphs = {}  # key of a shape -> Graph, or the number of times it was seen
        self._variables = None
        self._known = False
        self._compile_s = 0.0
        self.failure = self.news = None

    def __call__(self, data, batch=None):
        if self.failure:
            return self._run_eagerly(data)
        batch = data if batch is None else batch  # without a state beside it
        is_flat = type(batch) is tuple and set(map(type, batch)) == _ONE_TENSOR
        leaves = batch if is_flat else tree.flatten(batch)
        structure = None if is_flat else repr(tree.map_structure(lambda _: 0, batch))
        graph = self._graph(leaves, structure)
        if graph is None:
            return self._run_eagerly(data)
        direct = graph.ready()
        if direct is not None:
            return self._finish(data, direct(leaves))
        self._model._clear_losses()  # of a step before: a trace would look at them
        start = time.perf_counter()
        try:
            results = graph(data)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever goes wrong in the compiler
            self._refuse(error)
            return self._run_eagerly(data)
        if graph.was_made:
            self._compile_s += time.perf_counter() - start
            self.news = f"jit_compile: {self._compile_s:.1f} s for graphs of the {self.what}."
        return self._finish(data, results)

    def fits(self, running):
        """Whether the graphs are those of a loop that has looked up this."""
        same = list(map(id, self._trainable)) == list(map(id, running.trainable))
        return same and self._rules == _rules(running)

    def begin_epoch(self, steps_to_come=None):
        """Look at everything again: callbacks and the user may have changed the model."""
        for graph in self._graphs.values():
            if isinstance(graph, Graph):
                graph.check()

    def _graph(self, leaves, structure):
        key = _form_of(leaves, structure)
        found = self._graphs.get(key, 0)
        if isinstance(found, Graph):
            return found
        graphs = sum(isinstance(graph, Graph) for graph in self._graphs.values())
        if key is None or found < (2 if graphs else 1) or graphs >= _MOST_GRAPHS:
            self._graphs[key] = found + 1
            return None
        if self._variables is None:
            self._look_up()
        graph = Graph(self._function(), self._variables, self._known, self._model.jit_options)
        self._graphs[key] = graph
        return graph

    def _look_up(self):
        model = self._model
        self._variables = [*model.variables, *model.metrics_variables]
        self._known = is_known(model)

    def _refuse(self, error):
        self.failure = cause_of(error)
        if self._warns and process_group.is_chief():
            warn_user(
                f"jit_compile: '{self._model.name}' runs without a graph from here on, since "
                f"torch makes none of its {self.what}: {self.failure}"
            )

    # What differs between the kinds

    what = "step"

    def _run_eagerly(self, data):
        """The step without a graph."""
        raise NotImplementedError

    def _function(self):
        """The function of the data that becomes a graph."""
        raise NotImplementedError

    def _finish(self, data, results):
        """What is left to do with the graph's results; returns what the step returns."""
        raise NotImplementedError

    def _logs(self, data, outputs):
        if not self._model._running.own_metrics:
            return self._model.get_metrics_result
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred, masks = outputs
        put_masks(tree.flatten(y_pred), tree.flatten(masks))
        return self._model.compute_metrics(x, y, y_pred, sample_weight=sample_weight)


class TrainGraph(GraphStep):
    """A training step: the graph gives the gradients, and the optimizer takes them as it does."""

    what = "training step"
    gives_gradients = True  # the processes of a job average them before the optimizer's update

    def _run_eagerly(self, data):
        return self._model._train_on(data)

    def _function(self):
        model = self._model

        def gradients(data):
            running = model._running
            x, y, sample_weight = unpack_x_y_sample_weight(data)
            tensors = [variable._store[variable._key] for variable in running.trainable]
            with torch.enable_grad():
                y_pred = model(x)
                loss = model._loss_of(x, y, y_pred, sample_weight, True, running)
                scaled = model.optimizer.scale_loss(loss)
                found = torch.autograd.grad(scaled, tensors, allow_unused=True)
            outputs = model._note_batch(x, y, y_pred, sample_weight, loss.detach(), running)
            model._clear_losses()
            return list(found) if outputs is None else (list(found), outputs)

        return gradients

    def _finish(self, data, results):
        gradients, outputs = results if type(results) is tuple else (results, None)
        if SCOPE.replica is not None:
            gradients = SCOPE.replica.scaled_gradients(gradients)
        self._model.optimizer.apply(gradients, self._trainable)
        return self._logs(data, outputs)


class TestGraph(GraphStep):
    """A step of an evaluation: loss and metrics."""

    what = "evaluation step"

    def _run_eagerly(self, data):
        return self._model._test_on(data)

    def _function(self):
        model = self._model

        def evaluation(data):
            running = model._running
            x, y, sample_weight = unpack_x_y_sample_weight(data)
            y_pred = model(x)
            loss = model._loss_of(x, y, y_pred, sample_weight, False, running)
            outputs = model._note_batch(x, y, y_pred, sample_weight, loss, running)
            model._clear_losses()
            return outputs

        return evaluation

    def _finish(self, data, results):
        return self._logs(data, results)


class PredictGraph(GraphStep):
    """A step of a prediction: outputs."""

    what = "prediction"

    def _run_eagerly(self, data):
        return self._model.predict_step(data)

    def _function(self):
        model = self._model

        def prediction(data):
            x, _, _ = unpack_x_y_sample_weight(data)
            outputs = model(x)
            model._clear_losses()
            return outputs

        return prediction

    def _finish(self, data, results):
        return results


def _rules(running):
    return running.adds_losses, running.own_metrics, running.old_compute_loss


def _form_of(leaves, structure):
    """What a graph is made for: structure, shapes, dtypes, places; None if a leaf is no tensor."""
    form = [structure]
    for leaf in leaves:
        if leaf is None:
            form.append(None)
        elif type(leaf) is torch.Tensor:
            form.append((leaf.shape, leaf.stride(), leaf.dtype, leaf.device))
        else:
            return None
    if SCOPE.replica is not None:
        share = SCOPE.replica.share  # of which losses make use
        form.append((share.rows, share.total, share.is_even))
    return tuple(form)


STEPS = {"train_step": TrainGraph, "test_step": TestGraph, "predict_step": PredictGraph}
