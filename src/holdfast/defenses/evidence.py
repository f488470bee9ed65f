"""How each defense was checked beyond the laws that all of them keep, with the command that shows it again.

That a defense is computed as its paper says is one question, what it is worth another: `benchmarks/defenses/` and
`benchmarks/detectors.py` ask that one, with attacks that know the defense.
"""

from holdfast.attacks.evidence import Evidence

_SMOOTHING = "tests/defenses/test_preprocessing_smoothing.py::"
_DETECTORS = "tests/defenses/test_detectors.py::"
_PENALTIES = "tests/defenses/test_regularization.py::"
_ENSEMBLES = "tests/defenses/test_ensembles.py::"
_IN_FRONT = "tests/defenses/test_libraries_in_front.py::"
_OF_TRAINING = "tests/defenses/test_libraries_of_training.py::"


def _with(text: str, test: str) -> Evidence:
    return Evidence("cross-checked", text, f"pytest {test}")


def _twice(text: str, test: str) -> Evidence:
    return Evidence("second implementation", text, f"pytest {test}")


def _forms(text: str, test: str) -> Evidence:
    return Evidence("closed forms", text, f"pytest {test}")


def _beside(text: str) -> Evidence:
    return Evidence("cross-checked", text, "benchmarks/defense_peers.py")


def _again(text: str, command: str) -> Evidence:
    return Evidence("reproduced", text, command)


PREPROCESSING = {
    "BilateralFilter": _with(
        "scikit-image's denoise_bilateral where all near pixels count alike, SciPy's gaussian_filter where all shades "
        "do; both together in loops",
        f"{_IN_FRONT}test_similar_pixels_weigh_as_in_scikit_image",
    ),
    "BitDepth": _beside("ART's FeatureSqueezing: the same to the last bits of float32, at 1, 3 and 5 bits"),
    "DiffusionPurifier": _with(
        "diffusers: its DDPM and DDIM schedulers take the same steps; the process beside closed forms",
        "tests/defenses/test_diffusion_purifier.py::test_a_network_of_diffusers_is_asked_as_its_own_scheduler_does",
    ),
    "Dither": _with(
        "Pillow's Floyd-Steinberg, up to its whole-number errors; a walk over the pixels, exactly",
        "tests/defenses/test_preprocessing_dither.py::test_one_bit_is_that_of_pillow_until_its_roundings_add_up",
    ),
    "GaussianSmoothing": _with("SciPy's gaussian_filter", f"{_SMOOTHING}test_gaussian_smoothing_is_that_of_scipy"),
    "Jpeg": _with(
        "Pillow's files, bit for bit; the differentiable twin beside them",
        "tests/defenses/test_preprocessing_jpeg.py::test_it_is_the_codec_in_the_units_of_the_data",
    ),
    "MedianSmoothing": _with("SciPy's median_filter", f"{_SMOOTHING}test_medians_are_those_of_scipy"),
    "NonLocalMeans": _beside(
        "OpenCV's fastNlMeansDenoising, 11-3-4: at most 0.59 gray levels apart, which it rounds to whole ones; the sum "
        "over patches, in loops"
    ),
    "PixelDeflection": _with(
        "scikit-image's denoise_wavelet with BayesShrink, all scales; as many pixels as said come from near",
        f"{_IN_FRONT}test_wavelets_are_shrunk_as_in_scikit_image",
    ),
    "Purifier": _with(
        "Keras trains the same layers on the same noise to the same network; noise is taken off, clean accuracy stays",
        f"{_OF_TRAINING}test_an_autoencoder_learns_what_keras_learns_of_the_same_noise",
    ),
    "Rescale": _with(
        "scikit-learn's MinMaxScaler that clips", f"{_IN_FRONT}test_rescaling_is_the_scaler_of_scikit_learn_that_clips"
    ),
    "ResizePad": _with(
        "PyTorch's interpolate, both methods; sizes and places are uniform",
        "tests/defenses/test_preprocessing_resize_pad.py::test_a_resized_line_is_that_of_torch",
    ),
    "Thermometer": _beside(
        "ART's ThermometerEncoding: the same bits but for values on a threshold, where the paper's bit is on; the code "
        "of Buckman et al., in loops"
    ),
    "TotalVariation": _with(
        "SciPy's minimize finds no lower value of the objective",
        "tests/defenses/test_preprocessing_total_variation.py::test_it_finds_the_minimum",
    ),
}

IN_FRONT = {
    "BayesianUncertainty": _twice(
        "the variance over all masks, counted",
        "tests/defenses/test_uncertainty.py::test_many_masks_have_the_variance_of_all_of_them",
    ),
    "BinaryDetector": _with(
        "scikit-learn's LogisticRegression on two normal clouds, and their closed form",
        "tests/defenses/test_binary_detector.py::test_the_network_is_as_good_as_the_closed_form_on_two_normal_clouds",
    ),
    "CameraRealism": _with(
        "SciPy's laplace, convolve, expit and quantiles; scikit-image's estimate_sigma finds the same noise; the "
        "others of the seven statistics in plain numpy",
        f"{_IN_FRONT}test_the_traces_of_a_camera_by_the_filters_of_scipy",
    ),
    "FeatureSqueezing": _with(
        "SciPy's median_filter, and its cityblock between probabilities",
        f"{_IN_FRONT}test_squeezing_is_the_cityblock_of_scipy_after_its_median",
    ),
    "KernelDensity": _with(
        "scikit-learn's KernelDensity, a class at a time",
        f"{_DETECTORS}test_kernel_density_is_that_of_scikit_learn_in_the_decided_class",
    ),
    "LocalDimensionality": _with(
        "scikit-dimension's MLE times k / (k - 1), for the paper counts the last neighbor too; 2 and 6 inside cubes "
        "of so many dimensions",
        f"{_IN_FRONT}test_the_local_dimension_is_that_of_scikit_dimension",
    ),
    "MagNet": _again(
        "Carlini and Wagner break it in L2 with a slight increase of distortion: all of 57 images here, median 1.43 "
        "for 0.57; under linf 0.15 it keeps 53.7 %",
        "benchmarks/farther.py",
    ),
    "Mahalanobis": _with(
        "scikit-learn's EmpiricalCovariance and the distances in its metric",
        f"{_DETECTORS}test_mahalanobis_is_the_distance_of_the_empirical_covariance",
    ),
    "NearestNeighbors": _with(
        "scikit-learn's KNeighborsClassifier", f"{_DETECTORS}test_nearest_neighbors_count_as_scikit_learn_does"
    ),
    "OutlierModel": _with(
        "PyOD and scikit-learn, whose estimators it asks; PyOD's neighbors beside scikit-learn's",
        f"{_DETECTORS}test_a_model_of_pyod_scores_as_its_own_library_does",
    ),
    "RangeCheck": _with(
        "jsonschema accepts the same rows under the same rules",
        f"{_IN_FRONT}test_a_schema_accepts_what_a_json_schema_accepts",
    ),
    "Reconstruction": _with(
        "SciPy's jensenshannon; errors of a known reconstruction in closed form",
        f"{_DETECTORS}test_divergence_is_jensen_and_shannons",
    ),
}

TRAINING = {
    "AdversarialRounds": _beside(
        "scikit-learn's LogisticRegression, learned anew on rows of ART's FastGradientMethod: after three rounds the "
        "coefficients are at most 5e-6 apart, which moved up to 1.87"
    ),
    "AdversarialTraining": _beside(
        "ART's AdversarialTrainer on the same batches and worst inputs: weights at most 2e-7 apart after 240 steps; "
        "each with its own inner attack, digits withstand 70.7 %, 70.4"
    ),
    "Averaged": _with(
        "PyTorch's update_bn, and the mean of the weights",
        "tests/defenses/test_averaged.py::test_statistics_are_those_of_torchs_own_averaging",
    ),
    "CurriculumAdversarialTraining": _forms(
        "when it grows and what a batch holds",
        "tests/defenses/test_curriculum.py::test_the_strength_grows_at_the_level_or_after_a_wait",
    ),
    "FastAdversarialTraining": _again(
        "the catastrophic overfitting of steps without noise, on MNIST, from which noise and GradAlign keep it, as "
        "Wong et al. and Andriushchenko and Flammarion found",
        "pytest tests/defenses/test_catastrophic.py::test_remedies_keep_it_from_that",
    ),
    "FreeAdversarialTraining": _again(
        "the order of Shafahi et al.'s table on CIFAR-10: more replays trade clean accuracy for robustness; eight keep "
        "22.9 % where PGD-7 keeps 24.1, at 0.26 of its seconds (published 46.3, 45.5, 0.14)",
        "benchmarks/free_replays.py",
    ),
    "GaussianAugmentation": _with(
        "SciPy's kstest of the noise inside the box, its binomtest of what is cut off",
        f"{_OF_TRAINING}test_noise_is_the_censored_normal_distribution_of_scipy",
    ),
    "Mart": _with(
        "Keras's cross-entropies and divergence, put together as its paper says",
        f"{_OF_TRAINING}test_mart_is_made_of_the_losses_of_keras",
    ),
    "MultiNorm": _twice(
        "the loop of its paper", "tests/defenses/test_multi_norm.py::test_the_steepest_is_the_loop_of_its_paper"
    ),
    "RobustBoosting": _twice(
        "certificates beside exact distances, and exact for one tree",
        "tests/learning/test_robust_boosting.py::test_the_certificate_is_never_more_than_the_exact_distance",
    ),
    "RobustSplitting": _with(
        "scikit-learn's DecisionTreeClassifier, without a radius; with one, brute force",
        "tests/learning/test_robust_forest.py::test_without_a_radius_it_is_cart",
    ),
    "RobustStumps": _twice(
        "brute force over all steps",
        "tests/learning/test_robust_stumps.py::test_the_least_margin_is_that_of_brute_force_over_all_steps",
    ),
    "Trades": _beside(
        "ART's AdversarialTrainerTRADESPyTorch on the same batches and worst inputs: weights at most 5e-7 apart after "
        "240 steps"
    ),
    "WassersteinRobust": _forms(
        "linear, quadratic and logistic losses, whose worst inputs are known",
        "tests/defenses/test_wasserstein.py"
        "::test_a_linear_loss_sends_the_input_by_its_gradient_over_twice_gamma_in_one_step",
    ),
    "WeightPerturbation": _beside(
        "ART's AdversarialTrainerAWPPyTorch around PGD and TRADES: weights at most 3e-7 apart after 240 steps; with "
        "batch norms ours keeps the statistics of the weights that were not moved"
    ),
}

LEARNING = {
    "AdaptiveDiversity": _with(
        "SciPy's entropy and determinant give the whole loss",
        f"{_OF_TRAINING}test_diversity_is_scipys_entropy_and_determinant",
    ),
    "AugMix": _with("Pillow's operations, shade by shade", f"{_PENALTIES}test_shades_are_those_of_pillow"),
    "Bagging": _with(
        "scikit-learn's BaggingClassifier on the same bags; bags hold 63 % of the samples",
        f"{_OF_TRAINING}test_bagging_is_that_of_scikit_learn_on_the_same_bags",
    ),
    "Boosting": _with(
        "scikit-learn's AdaBoostClassifier, stump by stump",
        f"{_ENSEMBLES}test_boosting_stumps_is_scikit_learns_adaboost",
    ),
    "CutMix": _with(
        "Keras's CutMix with the rectangle, partners and share that ours drew",
        f"{_OF_TRAINING}test_mixtures_are_those_of_keras_of_the_same_draws",
    ),
    "DefensiveDistillation": _again(
        "Carlini and Wagner's success on all digits: 0.0 % [0.0, 1.2] is left of 300 on MNIST, of 15.3 % under inputs "
        "that do not know it",
        "benchmarks/defenses/mnist.yaml",
    ),
    "Dropout": _with(
        "Keras's Dropout: the same two values, and as many zeros up to chance",
        f"{_OF_TRAINING}test_dropout_drops_and_scales_as_keras_does",
    ),
    "EarlyStopping": _with(
        "Keras's EarlyStopping stops after the same epoch and takes the same one",
        f"{_OF_TRAINING}test_early_stopping_stops_where_keras_does_and_takes_the_same_epoch",
    ),
    "GroupDro": _twice("the loop of its paper", "tests/defenses/test_group_dro.py::test_it_is_its_loop"),
    "InputGradient": _with(
        "PyTorch's jacobian row by row, and its way to the weights; finite differences",
        f"{_OF_TRAINING}test_the_input_gradient_and_its_way_to_the_weights_are_pytorchs_jacobian",
    ),
    "JacobianRegularization": _with(
        "PyTorch's jacobian, and its norm", f"{_PENALTIES}test_the_jacobian_penalty_is_the_norm_of_the_jacobian"
    ),
    "L1Penalty": _with(
        "Keras's regularizer, at every step of a training",
        f"{_OF_TRAINING}test_penalties_are_the_regularizers_of_keras",
    ),
    "L2Penalty": _with(
        "Keras's regularizer, at every step of a training; it ends at scikit-learn's LogisticRegression",
        f"{_OF_TRAINING}test_penalties_are_the_regularizers_of_keras",
    ),
    "LabelSmoothing": _with(
        "Keras's CategoricalCrossentropy, at every step of a training",
        f"{_OF_TRAINING}test_smoothed_labels_cost_what_they_cost_in_keras",
    ),
    "LipschitzMargin": _with(
        "PyTorch's singular values of layers written out as matrices",
        "tests/defenses/test_lipschitz.py::test_a_layers_constant_is_that_of_its_matrix",
    ),
    "Mixup": _with(
        "Keras's MixUp with the partners and share that ours drew",
        f"{_OF_TRAINING}test_mixtures_are_those_of_keras_of_the_same_draws",
    ),
    "ParsevalNetworks": _twice("its loop", "tests/defenses/test_parseval.py::test_the_training_is_its_loop"),
    "RobustDistillation": _with(
        "PyTorch's kl_div; a robust teacher makes a robust student",
        "tests/defenses/test_distillation.py::test_the_divergence_is_that_of_torch",
    ),
    "SpectralNormalization": _with(
        "PyTorch's svdvals of every layer, and the norm of each convolution by power iteration",
        f"{_PENALTIES}test_no_layer_stretches_by_more_than_the_bound",
    ),
    "Stacking": _with(
        "scikit-learn's LogisticRegression learns the same weights",
        f"{_ENSEMBLES}test_the_meta_learner_is_logistic_regression",
    ),
    "Voting": _with(
        "scikit-learn's VotingClassifier, weighted, soft and hard",
        f"{_ENSEMBLES}test_weighted_votes_are_scikit_learns",
    ),
    "WeightDecay": _with(
        "scikit-learn's LogisticRegression is where the training of a linear model ends",
        f"{_OF_TRAINING}test_a_linear_model_that_decays_ends_at_the_logistic_regression_of_scikit_learn",
    ),
}

EVIDENCE = {**PREPROCESSING, **IN_FRONT, **TRAINING, **LEARNING}
