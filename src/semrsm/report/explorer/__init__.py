"""The explorer: RSMs as a page to look at, point at and ask, that opens from disk anywhere.

The page is HTML, a style sheet and a script, all in this package and all in the page: there is no
library in it and no build step. The Python side computes every number and every order; the script
draws, and never computes a similarity.
"""

from ...features.layers import middle_layer
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
