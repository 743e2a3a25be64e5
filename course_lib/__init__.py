"""The companion package of the course *Large Models, Measured*.

``import course_lib`` is light: it brings the standard library's and NumPy's floors only, and neither Keras nor
TensorFlow. Import the part you need by name, for example ``from course_lib import optimization``.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("course_lib")
except PackageNotFoundError:  # a checkout on PYTHONPATH that nobody installed
    __version__ = "0+uninstalled"

__all__ = ["__version__"]
