from .recurrent import RNNModel as RNNModel
from .residual import Residual as Residual
from .residual import resnet18 as resnet18
