"""keras.distillation: a small model learns from a large one."""

from torchkeras.core import serialization as _serialization
from torchkeras.distillation.distillation_loss import DistillationLoss as DistillationLoss
from torchkeras.distillation.distillation_loss import FeatureDistillation as FeatureDistillation
from torchkeras.distillation.distillation_loss import LogitsDistillation as LogitsDistillation
from torchkeras.distillation.distiller import Distiller as Distiller

_serialization.expose(
    "keras.distillation",
    globals(),
    only=["Distiller", "FeatureDistillation", "LogitsDistillation"],
)
