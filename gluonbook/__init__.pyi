# The public names, one table: read by type checkers, and by __init__.py, which loads each at its first use.
from . import chapter as chapter
from . import data as data
from . import detection as detection
from . import lyrics as lyrics
from . import plot as plot
from . import style as style
from . import training as training
from . import weights as weights
from .detection import iou as iou
from .detection import multibox_detection as multibox_detection
from .detection import multibox_prior as multibox_prior
from .detection import multibox_target as multibox_target
from .detection import nms as nms
from .devices import device as device
from .devices import try_all_gpus as try_all_gpus
from .devices import try_gpu as try_gpu
from .lyrics import LanguageModel as LanguageModel
from .lyrics import Vocabulary as Vocabulary
from .lyrics import batches_adjacent as batches_adjacent
from .lyrics import batches_random as batches_random
from .style import stylize as stylize
from .training import clip_gradients as clip_gradients
from .training import perplexity as perplexity

__version__: str
