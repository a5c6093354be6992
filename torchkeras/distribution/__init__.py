"""Training in several processes: `torchrun --nproc-per-node=N train.py`, the script unchanged."""

from torchkeras.core.scopes import gradient_weight as gradient_weight
from torchkeras.core.scopes import sample_count as sample_count
from torchkeras.distribution import process_group as process_group
from torchkeras.distribution import random_state as random_state
from torchkeras.distribution.device_mesh import DeviceMesh as DeviceMesh
from torchkeras.distribution.device_mesh import TensorLayout as TensorLayout
from torchkeras.distribution.device_mesh import distribute_tensor as distribute_tensor
from torchkeras.distribution.distribution_lib import DataParallel as DataParallel
from torchkeras.distribution.distribution_lib import Distribution as Distribution
from torchkeras.distribution.distribution_lib import distribution as distribution
from torchkeras.distribution.distribution_lib import get_device_count as get_device_count
from torchkeras.distribution.distribution_lib import list_devices as list_devices
from torchkeras.distribution.distribution_lib import set_distribution as set_distribution
from torchkeras.distribution.fully_shard import FullyShard as FullyShard
from torchkeras.distribution.layout_map import LayoutMap as LayoutMap
from torchkeras.distribution.model_parallel import ModelParallel as ModelParallel
from torchkeras.distribution.process_group import initialize as initialize
from torchkeras.saving.sharded_load import consolidate as consolidate
from torchkeras.saving.sharded_load import load_sharded as load_sharded
from torchkeras.saving.sharded_save import PendingSave as PendingSave
from torchkeras.saving.sharded_save import save_sharded as save_sharded

process_group.select_device_early()
