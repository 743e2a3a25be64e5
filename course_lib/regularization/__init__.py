"""Regularization: penalties and their proximal steps, penalised fits, priors, smoothing and noise, averages of weights.

All of it is NumPy. Every public name of the modules below can also be taken from here, as in
``from course_lib.regularization import ridge``.
"""

from course_lib.regularization.averaging import (
    EarlyStopping,
    ExponentialMovingAverage,
    average_weights,
)
from course_lib.regularization.linear import (
    LinearFit,
    RegularizationPath,
    coordinate_descent_lasso,
    elastic_net,
    lasso,
    regularization_path,
    ridge,
)
from course_lib.regularization.penalties import (
    L1,
    L2,
    ElasticNet,
    GroupLasso,
    Penalty,
    group_soft_threshold,
    kernels,
    project_l1_ball,
    project_l2_ball,
    shrink,
    soft_threshold,
)
from course_lib.regularization.priors import (
    GaussianPrior,
    LaplacePrior,
)
from course_lib.regularization.proximal import (
    ProximalTrajectory,
    penalised,
    proximal_descent,
)
from course_lib.regularization.random_features import (
    RandomFeatures,
    fourier_features,
    minimum_norm_fit,
    random_fourier_features,
    random_relu_features,
    relu_features,
)
from course_lib.regularization.smoothing import (
    MultinomialNaiveBayes,
    augment_shift,
    dropout_mask,
    label_smoothing,
    mixup,
)

__all__ = [
    "L1",
    "L2",
    "EarlyStopping",
    "ElasticNet",
    "ExponentialMovingAverage",
    "GaussianPrior",
    "GroupLasso",
    "LaplacePrior",
    "LinearFit",
    "MultinomialNaiveBayes",
    "Penalty",
    "ProximalTrajectory",
    "RandomFeatures",
    "RegularizationPath",
    "augment_shift",
    "average_weights",
    "coordinate_descent_lasso",
    "dropout_mask",
    "elastic_net",
    "fourier_features",
    "group_soft_threshold",
    "kernels",
    "label_smoothing",
    "lasso",
    "minimum_norm_fit",
    "mixup",
    "penalised",
    "project_l1_ball",
    "project_l2_ball",
    "proximal_descent",
    "random_fourier_features",
    "random_relu_features",
    "regularization_path",
    "relu_features",
    "ridge",
    "shrink",
    "soft_threshold",
]
