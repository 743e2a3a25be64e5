"""Layers in Keras 3: convolution, recurrence, attention, and what stands between them.

They use ``keras.ops`` and ``keras.layers`` only, so each runs on the TensorFlow, JAX and PyTorch backends, and a model
that holds them is saved and loaded as Keras does it. Import a family by its name, as in
``from course_lib.layers.attention import MultiHeadAttention``; the import brings Keras.
"""
