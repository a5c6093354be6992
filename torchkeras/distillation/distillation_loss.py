"""Losses of distillation: how far a student's outputs are from its teacher's."""

import torch

from torchkeras import losses
from torchkeras.core import tree
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object


class DistillationLoss:
    """Base class of what a Distiller minimizes; a subclass defines `compute_loss`.

    Example:

    >>> class Distance(keras.distillation.DistillationLoss):
    ...     def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
    ...         return (teacher_outputs - student_outputs).abs().mean()
    >>> Distance().compute_loss(torch.zeros(2), torch.ones(2))
    tensor(1.)
    """

    # Names of the layers whose outputs are compared; None for those of the models.
    teacher_layer_name = None
    student_layer_name = None

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        """The loss as a scalar tensor.

        Args:
            teacher_outputs, student_outputs: tensors, or alike structures of them.
            **kwargs: for arguments of a subclass.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define `compute_loss`. Received: a call of it."
        )

    def validate_outputs(self, teacher_outputs, student_outputs):
        """ValueError where the outputs are not nested alike."""
        tree.assert_same_structure(teacher_outputs, student_outputs)

    def validate_model_compatibility(self, teacher, student):
        """ValueError where the models have not what the loss compares; for subclasses."""


class _LossOfOutputs(DistillationLoss):
    """A loss function for each output; None leaves one out."""

    def __init__(self, loss):
        self.loss = tree.map_structure(_loss_function, loss)
        if all(function is None for function in tree.flatten(self.loss)):
            raise ValueError(
                f"`loss` must have at least one non-`None` value. Received: loss={loss!r}."
            )

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        """The sum over the outputs of the means of their losses, a scalar tensor.

        Args:
            teacher_outputs, student_outputs: tensors in the structure of `loss`.
            **kwargs: without effect.
        """
        triples = zip(
            tree.flatten(self.loss),
            tree.flatten(teacher_outputs),
            tree.flatten(student_outputs),
            strict=True,
        )
        values = [self._value(f, x, y) for f, x, y in triples if f is not None]
        return torch.stack(values).sum()

    def _value(self, function, teacher, student):
        return torch.mean(function(teacher, student))

    def get_config(self):
        """The arguments, the losses as `keras.losses` describes them."""
        return {"loss": tree.map_structure(_described, self.loss)}

    @classmethod
    def from_config(cls, config):
        """The loss that `get_config` described."""
        return cls(**{**config, "loss": _revived(config["loss"])})


class FeatureDistillation(_LossOfOutputs):
    """The outputs of a layer in the student are to be those of a layer in the teacher.

    Args:
        loss: name of a loss, Loss or function `(teacher, student)`; or a structure of these, as
            that of the outputs, in which None leaves an output out.
        teacher_layer_name, student_layer_name: str, names of the layers; None for the models'
            own outputs.

    Raises:
        ValueError: there is no loss; or, in a Distiller, no such layer.

    Source: Romero et al. 2015, arXiv:1412.6550.

    Example:

    >>> loss = keras.distillation.FeatureDistillation("mse")
    >>> loss.compute_loss(torch.zeros(2, 3), torch.ones(2, 3))
    tensor(1.)
    """

    def __init__(self, loss="mse", teacher_layer_name=None, student_layer_name=None):
        super().__init__(loss)
        self.teacher_layer_name = teacher_layer_name
        self.student_layer_name = student_layer_name

    def validate_model_compatibility(self, teacher, student):
        """ValueError where a model has no such layer, or is no graph that has one."""
        pairs = (
            ("teacher", teacher, self.teacher_layer_name),
            ("student", student, self.student_layer_name),
        )
        for role, model, name in pairs:
            named = self.teacher_layer_name is not None or self.student_layer_name is not None
            if named and getattr(model, "inputs", None) is None:
                raise ValueError(
                    "FeatureDistillation of named layers needs Functional or Sequential models, "
                    f"built. Received: a {role} that appears to be subclassed, '{model.name}'. "
                    "Leave the names out to compare the models' outputs."
                )
            if name is not None:
                try:
                    model.get_layer(name=name)
                except ValueError as error:
                    raise ValueError(f"In {role} model: {error}") from error

    def validate_outputs(self, teacher_outputs, student_outputs):
        """ValueError where the outputs are not nested as each other, or as `loss`."""
        super().validate_outputs(teacher_outputs, student_outputs)
        if len(tree.flatten(self.loss)) != len(tree.flatten(teacher_outputs)):
            raise ValueError(
                "Loss structure mismatch: `loss` must be nested as the outputs. Received: "
                f"{len(tree.flatten(self.loss))} losses for "
                f"{len(tree.flatten(teacher_outputs))} outputs."
            )

    def get_config(self):
        return {
            **super().get_config(),
            "teacher_layer_name": self.teacher_layer_name,
            "student_layer_name": self.student_layer_name,
        }


class LogitsDistillation(_LossOfOutputs):
    """The student's logits are to be the teacher's, both divided by a temperature.

    A Kullback-Leibler divergence, by its name or as a Loss, is that of the softmax of the logits,
    times the square of the temperature. Any other loss is given the logits.

    Args:
        temperature: float above 0.
        loss: as for FeatureDistillation.

    Raises:
        ValueError: there is no loss, or the temperature is not above 0.

    Source: Hinton et al. 2015, arXiv:1503.02531, section 2.

    Example:

    >>> loss = keras.distillation.LogitsDistillation(temperature=2.0)
    >>> loss.compute_loss(torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 3.0]]))
    tensor(0.)
    """

    def __init__(self, temperature=3.0, loss="kl_divergence"):
        super().__init__(loss)
        if not isinstance(temperature, (int, float)) or not temperature > 0:
            raise ValueError(
                "`temperature` must be a number above 0 (temperature must be positive). Received: "
                f"temperature={temperature!r}."
            )
        self.temperature = temperature

    def _value(self, function, teacher, student):
        teacher, student = teacher / self.temperature, student / self.temperature
        if function is losses.kl_divergence or isinstance(function, losses.KLDivergence):
            teacher, student = torch.softmax(teacher, dim=-1), torch.softmax(student, dim=-1)
            return torch.mean(function(teacher, student)) * self.temperature**2
        return torch.mean(function(teacher, student))

    def get_config(self):
        return {"temperature": self.temperature, **super().get_config()}


def _loss_function(loss):
    return losses.get(loss) if isinstance(loss, str) else loss


def _described(loss):
    return None if loss is None else serialize_keras_object(loss)


def _revived(config):
    if isinstance(config, dict) and "class_name" in config:
        found = deserialize_keras_object(config)
        return losses.get(found) if isinstance(found, str) else found
    if isinstance(config, (list, tuple)):
        return type(config)(_revived(item) for item in config)
    if isinstance(config, dict):
        return {key: _revived(item) for key, item in config.items()}
    return config
