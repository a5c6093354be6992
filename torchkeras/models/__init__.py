"""keras.models: Model, Sequential, and making models from configs."""

from torchkeras.models.cloning import clone_model as clone_model
from torchkeras.models.function import Function as Function
from torchkeras.models.functional import Functional as Functional
from torchkeras.models.model import Model as Model
from torchkeras.models.model import model_from_json as model_from_json
from torchkeras.models.sequential import Sequential as Sequential
from torchkeras.saving.saving_api import load_model as load_model
from torchkeras.saving.saving_api import save_model as save_model
