"""Sound: files, spectrograms, a small synthesiser, and the sums behind recognition, on NumPy and SciPy alone.

Import each module by name, as in ``from course_lib.audio.features import stft``.
"""
