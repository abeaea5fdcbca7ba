"""The explorer: RSMs as an interactive page, which opens from disk anywhere.

The page consists of HTML, a style sheet and a script, all from this package and all inside the
page: no library and no build step. The Python side computes every number and every order; the
script draws, and never computes a similarity.
"""

from ...features.layer_names import middle_layer
from .beginning import Start
from .exploration import Exploration, explore
from .views import MOST_IMAGES
from .write import MOST_INSIDE, write_explorer

__all__ = [
    "MOST_IMAGES",
    "MOST_INSIDE",
    "Exploration",
    "Start",
    "explore",
    "middle_layer",
    "write_explorer",
]
