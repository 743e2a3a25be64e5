"""Model families in Keras 3, each with a configuration, a builder and a formula for its parameters.

They use ``keras.layers`` and ``keras.ops`` only, so each runs on the TensorFlow, JAX and PyTorch backends. Import a
family by its name, as in ``from course_lib.models.mlp import MLPConfig, mlp``; the import brings Keras.
"""
