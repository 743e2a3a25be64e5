"""Training: one loop for every model, its recipe, its log, and checkpoints from which it goes on as if never stopped.

Every public name of the modules below can also be taken from here, as in ``from course_lib.training import train``.
"""

from course_lib.training.freezing import freeze
from course_lib.training.history import History
from course_lib.training.loop import train
from course_lib.training.recipe import Recipe

__all__ = ["History", "Recipe", "freeze", "train"]
