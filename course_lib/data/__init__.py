"""Data: batches that a step's number alone decides, and loaders of public data sets, on NumPy alone.

Import each module by name, as in ``from course_lib.data.batches import Batches``.
"""
