"""Compilation: what a model is trained and measured with."""

import operator
import warnings

from torchkeras import metrics as metrics_module
from torchkeras import optimizers
from torchkeras.core.checks import check_switch, check_whole
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.trainers.compile_loss import CompileLoss
from torchkeras.trainers.compile_metrics import CompileMetrics


class Compilation:
    """The part of a Trainer that `compile` sets: optimizer, loss, metrics, ways of running."""

    def __init__(self):
        # Past `__setattr__`: none of these is part of the network.
        self.__dict__.update(
            optimizer=None,
            loss=None,
            compiled=False,
            run_eagerly=False,
            jit_compile=False,
            jit_auto=False,
            jit_options=None,
            steps_per_execution=1,
            stop_training=False,
            _compile_loss=None,
            _compile_metrics=None,
            _compile_config=None,
            _loss_tracker=None,
        )

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        run_eagerly=False,
        steps_per_execution=1,
        jit_compile="auto",
        auto_scale_loss=True,
        jit_options=None,
    ):
        """Choose how the model is trained and measured.

        Args:
            optimizer: name, Optimizer, `torch.optim.Optimizer`, or a function from a list of
                parameters to one; None for a `train_step` that brings its own.
            loss: name, Loss, function `(y_true, y_pred)`, or loss module or function of torch,
                which is given `(input, target)`; a list, dict or deeper structure of them by
                output; None when `train_step` or `compute_loss` makes its own.
            loss_weights: float, or list or dict of floats by output.
            metrics: list of names, functions, Metrics or metrics of torchmetrics; a list of
                lists, dict or deeper structure by output.
            weighted_metrics: likewise, for metrics that are given the sample weights.
            run_eagerly: bool, never compile the model's call.
            steps_per_execution: int, at least 1; callbacks see every so many batches.
            jit_compile: bool or `"auto"`. True makes one graph of a step by `torch.compile`:
                forward pass, loss, gradients and metrics; also of a step of the user's own. What
                torch can make no graph of runs as without it, and a warning says why. `"auto"`
                does so for training that is to last for minutes, by the Trainer's own step in
                one process: it times some steps of either kind, and keeps the faster one. A
                graph rounds differently; False, or `torch.use_deterministic_algorithms(True)`,
                excludes it.
            auto_scale_loss: bool, whether the optimizer of a model that computes in
                `mixed_float16` is put into a `LossScaleOptimizer`, lest small gradients vanish;
                not one with a `loss_scale_factor` of its own.
            jit_options: dict of options of `torch._inductor.config` for `jit_compile`, such as
                `{"max_autotune": True}`; None for none.

        Raises:
            ValueError: an unknown name, or an argument of the wrong kind. The model then keeps
                what it was compiled with before.

        Example:

        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile(optimizer="adam", loss="mse", metrics=["mae"])
        """
        _check_ways_of_running(steps_per_execution, run_eagerly, jit_compile)
        check_switch("auto_scale_loss", auto_scale_loss)
        if not isinstance(jit_options, (dict, type(None))):
            raise TypeError(
                "`jit_options` must be a dict of options, or None. Received: "
                f"jit_options={jit_options!r}. Give names of `torch._inductor.config` and values."
            )
        steps_per_execution = operator.index(steps_per_execution)
        if jit_compile != "auto":
            jit_compile = bool(jit_compile)
        chosen = optimizers.get(optimizer)
        if auto_scale_loss and chosen is not None and _computes_in_float16(self):
            scales = isinstance(chosen, optimizers.LossScaleOptimizer)
            if not scales and chosen.loss_scale_factor is None:
                chosen = optimizers.LossScaleOptimizer(chosen, name="loss_scale_optimizer")
        output_names = getattr(self, "output_names", None)
        compile_loss = None
        if loss is not None:
            compile_loss = CompileLoss(loss, loss_weights, output_names=output_names)
        compile_metrics = None
        if metrics is not None or weighted_metrics is not None:
            compile_metrics = CompileMetrics(metrics, weighted_metrics, output_names=output_names)
        if compile_loss is not None and compile_metrics is not None:
            # Which outputs have targets, where `y` has fewer, both say together.
            compile_loss.compile_metrics = compile_metrics
            compile_metrics.compile_loss = compile_loss
        # Nothing above has changed the model, and nothing below fails.
        self.__dict__.update(
            optimizer=chosen,
            loss=loss,
            compiled=True,
            run_eagerly=bool(run_eagerly),
            jit_compile=jit_compile is True,
            jit_auto=jit_compile == "auto" and not run_eagerly,
            jit_options=jit_options,
            steps_per_execution=steps_per_execution,
            stop_training=False,
            _compile_loss=compile_loss,
            _compile_metrics=compile_metrics,
            _loss_tracker=metrics_module.Mean(name="loss"),
            _graph_steps={},
            _calls_s=[],
            _compiled_call_impl=None,  # where `nn.Module.__call__` looks for a compiled call
            _compile_config={
                "optimizer": optimizer,
                "loss": loss,
                "loss_weights": loss_weights,
                "metrics": metrics,
                "weighted_metrics": weighted_metrics,
                "run_eagerly": run_eagerly,
                "steps_per_execution": steps_per_execution,
                "jit_compile": jit_compile is True,
                **({} if auto_scale_loss else {"auto_scale_loss": False}),
                **({} if jit_options is None else {"jit_options": jit_options}),
            },
        )

    def get_compile_config(self):
        """The arguments of `compile` as a config, or None if some cannot be described in one."""
        if not self.compiled:
            return None
        arguments = {**self._compile_config, "optimizer": self.optimizer}
        try:
            return {key: serialize_keras_object(value) for key, value in arguments.items()}
        except (TypeError, ValueError, NotImplementedError) as error:
            warnings.warn(
                f"The compile arguments of '{self.name}' cannot be described in a config and are "
                f"left out: {error} Call `compile` again after loading.",
                stacklevel=2,
            )
            return None

    def compile_from_config(self, config):
        """Compile as `get_compile_config` described, and build the optimizer if possible.

        A model whose class has a `compile` of its own is not compiled, with a warning; such a
        class overrides this method too.
        """
        if type(self).compile is not Compilation.compile:
            warnings.warn(
                f"Model '{self.name}' is not compiled after loading, because its class "
                f"{type(self).__name__} has a `compile` of its own. Call `compile` yourself, or "
                "give the class `get_compile_config` and `compile_from_config`.",
                stacklevel=2,
            )
            return
        self.compile(**deserialize_keras_object(config))
        if self.built and self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def _assert_compiled(self, method):
        if not self.compiled:
            raise ValueError(
                f"A model must be compiled before `{method}`. Received: '{self.name}', which is "
                "not. Call `model.compile(optimizer=..., loss=...)` first."
            )

    # Metrics

    @property
    def metrics(self):
        """The loss tracker, the metrics given to `compile`, and those set as attributes.

        In that order, then the metrics of the layers. The metrics of `compile` are one object.
        """
        found = []
        if self._loss_tracker is not None:
            found.append(self._loss_tracker)
        if self._compile_metrics is not None:
            found.append(self._compile_metrics)
        if self._compile_loss is not None:
            found.extend(self._compile_loss.metrics)
        found.extend(self._metrics)
        for layer in self._flatten_layers(include_self=False):
            if not isinstance(layer, Compilation):  # what a model inside measures is its own
                found.extend(layer._metrics)
        return found

    @property
    def metrics_names(self):
        """Names of `metrics`."""
        return [metric.name for metric in self.metrics]

    @property
    def metrics_variables(self):
        """The variables of all metrics, in order."""
        return list({id(v): v for m in self.metrics for v in m.variables}.values())

    def reset_metrics(self):
        """Set every metric back to its start."""
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self):
        """Results of all metrics so far, by name, as scalar tensors on the device."""
        results = {}
        for metric in self.metrics:
            result = metric.result()
            if isinstance(result, dict):
                results.update(result)
            elif metric.name in results and not self._has_own_steps():
                results[_free_name(metric.name, results)] = result  # the loss stays the loss
            else:
                results[metric.name] = result
        return results

    def _has_own_steps(self):
        """Whether a step of the user's own reports metrics, by names of its choice."""
        return False

    def _move_metrics(self, device):
        for metric in self.metrics:
            metric.to(device)

    def _in_order(self, logs):
        """Values of the logs in the order of the metrics; the value itself if there is one."""
        names = []
        for metric in self.metrics:
            if isinstance(metric, CompileMetrics):
                names.extend(single.name for single in metric.metrics)
            else:
                names.append(metric.name)
        values = [logs[name] for name in dict.fromkeys(names) if name in logs]
        values += [logs[name] for name in sorted(logs) if name not in names]
        return values[0] if len(values) == 1 else values


def _computes_in_float16(model):
    """Whether the model, or a layer in it, has the policy `mixed_float16`."""
    return any(layer._own_policy.name == "mixed_float16" for layer in model._flatten_layers())


def _free_name(name, taken):
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def _check_ways_of_running(steps_per_execution, run_eagerly, jit_compile):
    check_whole("steps_per_execution", steps_per_execution, least=1, cure="Leave it out for 1.")
    check_switch("run_eagerly", run_eagerly)
    if not isinstance(jit_compile, str):
        check_switch("jit_compile", jit_compile)
    if jit_compile not in (True, False, None, "auto"):
        raise ValueError(
            "`jit_compile` must be True, False or 'auto'. Received: "
            f"jit_compile={jit_compile!r}. Leave it out to run without torch.compile."
        )
    if run_eagerly and jit_compile is True:
        raise ValueError(
            "A model cannot run eagerly and compiled at once. Received: run_eagerly=True and "
            "jit_compile=True. Choose one."
        )
