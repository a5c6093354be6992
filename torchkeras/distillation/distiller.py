"""Distiller: trains a student on its targets and on its teacher's outputs."""

import torch

from torchkeras import losses, metrics
from torchkeras.core import tree
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.models import Model, Sequential

_OUTPUTS = "final_output"


class Distiller(Model):
    """A model that trains its student by the student's own loss and by what its teacher gives.

    `student_loss_weight * student loss + (1 - student_loss_weight) * sum of the weighted
    distillation losses` is minimized. The teacher is frozen, and runs in inference mode. Called,
    and asked to predict, it is the student.

    Args:
        teacher: trained Model.
        student: Model of the same inputs and outputs.
        distillation_losses: DistillationLoss, or list of them.
        distillation_loss_weights: list of numbers, one for each; None for ones.
        student_loss_weight: float from 0 to 1.
        name: str.
        **kwargs: those of Model.

    Raises:
        ValueError: the models, or the losses, do not go together.

    Source: Hinton et al. 2015, arXiv:1503.02531, section 2.

    Example:

    >>> teacher, student = (
    ...     keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]) for _ in range(2)
    ... )
    >>> distiller = keras.distillation.Distiller(
    ...     teacher, student, keras.distillation.LogitsDistillation(temperature=2.0)
    ... )
    >>> distiller.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> x, y = np.ones((8, 4), "float32"), np.zeros(8, "int32")
    >>> sorted(distiller.fit(x, y, verbose=0).history)
    ['distillation_loss', 'loss', 'student_loss', 'total_loss']
    """

    _plain_attributes = Model._plain_attributes | {"_student_loss", "distillation_losses"}

    def __init__(
        self,
        teacher,
        student,
        distillation_losses,
        distillation_loss_weights=None,
        student_loss_weight=0.5,
        name="distiller",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        _check_models(teacher, student)
        is_number = isinstance(student_loss_weight, (int, float))
        if not is_number or not 0 <= student_loss_weight <= 1:
            raise ValueError(
                "`student_loss_weight` must be a number between 0.0 and 1.0. Received: "
                f"student_loss_weight={student_loss_weight!r}."
            )
        if distillation_losses is None:
            raise ValueError(
                "`distillation_losses` cannot be `None`. Give a DistillationLoss, such as "
                "keras.distillation.LogitsDistillation(), or a list of them."
            )
        if not isinstance(distillation_losses, (list, tuple)):
            distillation_losses, distillation_loss_weights = [distillation_losses], None
        weights = distillation_loss_weights
        weights = [1.0] * len(distillation_losses) if weights is None else list(weights)
        if len(weights) != len(distillation_losses):
            raise ValueError(
                "Number of distillation_loss_weights must match number of distillation_losses. "
                f"Received: {len(weights)} and {len(distillation_losses)}."
            )
        for loss in distillation_losses:
            loss.validate_model_compatibility(teacher, student)
        self.distillation_losses = list(distillation_losses)
        self.distillation_loss_weights = weights
        self.student_loss_weight = student_loss_weight
        self.teacher = teacher
        self.student = student
        teacher.trainable = False
        names = [{getattr(loss, role, None) for loss in distillation_losses} for role in _ROLES]
        self._teacher_features = _features_of(teacher, names[0] - {None})
        self._student_features = _features_of(student, names[1] - {None})
        self._student_loss = None
        self.student_loss_tracker = metrics.Mean(name="student_loss")
        self.distillation_loss_tracker = metrics.Mean(name="distillation_loss")
        self.total_loss_tracker = metrics.Mean(name="total_loss")

    def compile(self, optimizer="adam", loss=None, metrics=None, **kwargs):
        """Set how the student is trained.

        Args:
            optimizer: by name or instance.
            loss: the student's own, by name, Loss or function, or in the structure of the outputs.
            metrics: list or tuple of metrics of the student.
            **kwargs: further arguments of `Model.compile`.

        Raises:
            ValueError: there is no loss.
        """
        if loss is None:
            raise ValueError("`loss` cannot be `None`: it is the student's own. Received: none.")
        if metrics is not None and not isinstance(metrics, (list, tuple)):
            raise ValueError(
                f"`metrics` must be a list or tuple. Received: {type(metrics).__name__}."
            )
        self._student_loss = tree.map_structure(
            lambda f: losses.get(f) if isinstance(f, str) else f, loss
        )
        super().compile(optimizer=optimizer, loss=None, metrics=metrics, **kwargs)

    def call(self, inputs, training=None, **kwargs):
        return self.student(inputs, training=training, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss of the student and of what it is to learn from its teacher, weighted.

        Args:
            x: inputs.
            y: targets.
            y_pred: the student's outputs; None to compute them.
            sample_weight: without effect, as in Keras.
            training: bool, the mode of the student.
        """
        if y_pred is None:
            y_pred = self(x, training=training)
        first = tree.flatten(y_pred)[0]
        student_loss = distillation_loss = first.new_zeros(())
        if self.student_loss_weight > 0 and y is not None:
            student_loss = self._loss_of_student(y, y_pred)
        if self.student_loss_weight < 1:
            distillation_loss = self._loss_of_distillation(x, y_pred, training)
        share = self.student_loss_weight
        total_loss = share * student_loss + (1 - share) * distillation_loss
        self.student_loss_tracker.update_state(student_loss)
        self.distillation_loss_tracker.update_state(distillation_loss)
        self.total_loss_tracker.update_state(total_loss)
        return total_loss

    def _loss_of_student(self, y, y_pred):
        functions = tree.flatten(self._student_loss)
        values = zip(functions, tree.flatten(y), tree.flatten(y_pred), strict=True)
        return torch.stack([torch.mean(f(true, pred)) for f, true, pred in values]).sum()

    def _loss_of_distillation(self, x, y_pred, training):
        teacher = self._teacher_features
        with torch.no_grad():
            if teacher is None:
                teacher = {_OUTPUTS: self.teacher(x, training=False)}
            else:
                teacher = teacher(x, training=False)
        student = {}
        if self._student_features is not None:
            student = self._student_features(x, training=bool(training))
        student = {**student, _OUTPUTS: y_pred}
        total = 0.0
        for loss, weight in zip(
            self.distillation_losses, self.distillation_loss_weights, strict=True
        ):
            names = [getattr(loss, role, None) or _OUTPUTS for role in _ROLES]
            pair = teacher[names[0]], student[names[1]]
            loss.validate_outputs(*pair)
            value = loss.compute_loss(*pair)
            if getattr(value, "ndim", 0):
                raise ValueError(
                    f"`compute_loss` of {type(loss).__name__} must return a scalar tensor. "
                    f"Received: a non-scalar loss with shape {tuple(value.shape)}."
                )
            total = total + weight * value
        return total

    def get_config(self):
        return {
            **super().get_config(),
            "teacher": serialize_keras_object(self.teacher),
            "student": serialize_keras_object(self.student),
            "distillation_losses": [serialize_keras_object(f) for f in self.distillation_losses],
            "distillation_loss_weights": self.distillation_loss_weights,
            "student_loss_weight": self.student_loss_weight,
        }

    @classmethod
    def from_config(cls, config):
        """The distiller that `get_config` described."""
        config = dict(config)
        for key in ("teacher", "student", "distillation_losses", "dtype"):
            if key in config:
                config[key] = deserialize_keras_object(config[key])
        return cls(**config)

    def get_compile_config(self):
        """The arguments of `compile` as a config, or None."""
        config = super().get_compile_config()
        if config is not None:
            config["loss"] = tree.map_structure(serialize_keras_object, self._student_loss)
        return config

    def compile_from_config(self, config):
        """Compile as `get_compile_config` described."""
        self.compile(**{key: deserialize_keras_object(value) for key, value in config.items()})


_ROLES = ("teacher_layer_name", "student_layer_name")


def _features_of(model, names):
    """A model that gives the outputs of layers by their names, and its own; None for no names."""
    if not names:
        return None
    outputs = {name: model.get_layer(name=name).output for name in sorted(names)}
    last = model.layers[-1].output if isinstance(model, Sequential) else model.output
    return Model(model.inputs, {**outputs, _OUTPUTS: last}, name=f"{model.name}_features")


def _check_models(teacher, student):
    for role, model in (("Teacher", teacher), ("Student", student)):
        if not isinstance(model, Model):
            raise ValueError(f"{role} must be a keras.Model. Received: {type(model).__name__}.")
    for what in ("inputs", "outputs"):
        ends = [getattr(model, what, None) for model in (teacher, student)]
        if None in ends:
            continue
        if len(ends[0]) != len(ends[1]):
            raise ValueError(
                f"Teacher and student must have as many {what}. Received: {len(ends[0])} and "
                f"{len(ends[1])}."
            )
        for mine, theirs in zip(*ends, strict=True):
            shapes = tuple(mine.shape), tuple(theirs.shape)
            fits = len(shapes[0]) == len(shapes[1]) and all(
                a == b or a is None or b is None for a, b in zip(*shapes, strict=True)
            )
            if not fits:
                raise ValueError(
                    f"Teacher and student {what} must have the same shapes. Received: {shapes[0]} "
                    f"and {shapes[1]}."
                )
            if mine.dtype != theirs.dtype:
                raise ValueError(
                    f"Teacher and student {what} dtypes must match. Received: {mine.dtype} and "
                    f"{theirs.dtype}."
                )
