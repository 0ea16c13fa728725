"""Checks of colour models."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray, read_only
from scrframe.plugin import ColourPrediction, FittedColourModel
from scrframe.testing.common import judge_copies, refused, same_bits
from scrframe.testing.draws import DrawnStars, draw_training
from scrframe.testing.subject import KindTraits, NotTestedError, Repeat, Subject, demand

TRAINED, JUDGED = 600, 200
SEED = 5
#: Predictions in pieces may differ by rounding, float32 of a colour of 1 mag included.
ROUNDING_MAG = 1e-5
#: A model must leave at most this part of the scatter of true colours.
OF_MEAN = 0.5
#: And err at most so many times as a linear regression with all features, or
#: `LEAST_ERROR_MAG`: on the function that is drawn, a linear model is nearly right.
OF_LINEAR, LEAST_ERROR_MAG = 4.0, 0.05
#: What stars of weight zero are off by, in mag.
ABSURD_MAG = 10.0


def _stars() -> tuple[DrawnStars, DrawnStars]:
    """Return stars to train and to judge by, in read-only arrays."""
    stars = draw_training(TRAINED + JUDGED)
    read_only(stars)
    return stars.take(slice(0, TRAINED)), stars.take(slice(TRAINED, None))


def _fit(
    subject: Subject,
    features: npt.NDArray[Any],
    colour_mag: FloatArray,
    weights: FloatArray | None = None,
    threads: int = 1,
) -> Any:
    return subject.descriptor.fit(features, colour_mag, weights, subject.config, SEED, threads)


def _trained(subject: Subject) -> Any:
    """Train on read-only arrays."""
    if not subject.descriptor.learns:
        raise NotTestedError("by its descriptor it learns nothing")
    training, _ = _stars()
    weights = np.ones(TRAINED)
    weights.flags.writeable = False
    return _fit(subject, training.features, training.colour_mag, weights)


def _model(subject: Subject, *, judge: bool = False) -> FittedColourModel:
    return subject.once("a trained model", lambda: _trained(subject), judge=judge)  # type: ignore[no-any-return]


def _predict(subject: Subject) -> FloatArray:
    """Return the predictions for the stars to judge by, shape (n,)."""
    _, judged = _stars()
    model = _model(subject)
    return subject.once("predictions", lambda: model.predict(judged.features).colour_mag)


def check_read_only(subject: Subject) -> None:
    """Check that training and prediction take read-only arrays, and keep none that may change."""
    try:
        model = _model(subject, judge=True)
        training, judged = _stars()
        before = model.predict(judged.features).colour_mag
    except ValueError as error:
        demand(
            "read-only" not in str(error),
            "`fit` or `predict` writes into its input (read-only arrays are passed): copy what you"
            " change",
        )
        raise
    features, colour = training.features.copy(), training.colour_mag.copy()
    model = _fit(subject, features, colour, np.ones(TRAINED))
    before = model.predict(judged.features).colour_mag.copy()
    features[:] = 0
    colour[:] = 0
    demand(
        same_bits(before, model.predict(judged.features).colour_mag),
        "the trained model changes when the training arrays are changed afterwards: keep copies",
    )


def check_schema(subject: Subject) -> None:
    """Check that a trained model predicts one colour for each star, in float64."""
    model = _model(subject, judge=True)
    demand(
        isinstance(model, FittedColourModel),
        f"`fit` returned a {type(model).__name__}: return a subclass of FittedColourModel",
    )
    _, judged = _stars()
    answer = model.predict(judged.features)
    demand(
        isinstance(answer, ColourPrediction),
        f"`predict` returned a {type(answer).__name__}: return a ColourPrediction",
    )
    given: dict[str, Any] = {"colour_mag": answer.colour_mag}
    if answer.err_mag is not None:
        given["err_mag"] = answer.err_mag
    for name, values in given.items():
        demand(
            isinstance(values, np.ndarray)
            and values.dtype == np.float64
            and values.shape == (JUDGED,),
            f"{name} of a prediction must be an array of float64 of shape (n,); it is"
            f" {getattr(values, 'dtype', type(values).__name__)} of shape {np.shape(values)}",
        )
        demand(np.isfinite(values).all(), f"{name} of a prediction is not finite for some stars")
    demand(
        answer.err_mag is None or (answer.err_mag > 0).all(),
        "err_mag must be above 0: return None where the backend cannot tell errors",
    )
    none = model.predict(judged.features[:0]).colour_mag
    demand(np.shape(none) == (0,), "`predict` of no stars must return no colours, shape (0,)")


def check_threads(subject: Subject) -> None:
    """Check that any number of threads gives the same bits."""
    training, judged = _stars()
    first = _predict(subject)
    model = _fit(subject, training.features, training.colour_mag, np.ones(TRAINED), threads=3)
    second = model.predict(judged.features).colour_mag
    demand(
        same_bits(first, second),
        f"with 3 threads predictions differ by up to {np.max(np.abs(first - second)):.2g} mag: sum"
        " in a fixed order, set the backend to deterministic, or use one thread",
    )


def check_chunks(subject: Subject) -> None:
    """Check that a star's prediction does not depend on the stars that are predicted with it."""
    _, judged = _stars()
    model, whole = _model(subject), _predict(subject)
    cuts = [0, 1, 30, 31, 120, JUDGED]
    pieces = [model.predict(judged.features[a:b]).colour_mag for a, b in pairwise(cuts)]
    order = np.random.default_rng(1).permutation(JUDGED)
    mixed = np.empty(JUDGED)
    mixed[order] = model.predict(judged.features[order]).colour_mag
    for what, other in (("in pieces", np.concatenate(pieces)), ("in another order", mixed)):
        worst = float(np.max(np.abs(whole - other)))
        demand(
            worst <= ROUNDING_MAG,
            f"predictions {what} differ by up to {worst:.2g} mag from those of the whole: use only"
            " what was learnt in training (its means and scales), not those of the stars predicted",
        )


def check_refusals(subject: Subject) -> None:
    """Check that values that are not finite and arrays that do not fit are refused in one line."""
    training, judged = _stars()
    features, colour = training.features, training.colour_mag
    hole, no_colour = features.copy(), colour.copy()
    hole[3, 2], no_colour[5] = np.nan, np.nan
    bad = judged.features.copy()
    bad[0, 0] = np.nan
    model = _model(subject)
    cases = (
        ("training on a feature that is NaN", lambda: _fit(subject, hole, colour)),
        ("training on a colour that is NaN", lambda: _fit(subject, features, no_colour)),
        ("training with fewer colours than stars", lambda: _fit(subject, features, colour[:-1])),
        ("predicting from a feature that is NaN", lambda: model.predict(bad)),
        ("predicting from too few features", lambda: model.predict(judged.features[:, :-1])),
        (
            "predicting from too many features",
            lambda: model.predict(np.concatenate([judged.features] * 2, axis=1)),
        ),
    )
    for what, attempt in cases:
        said = refused(attempt)
        demand(
            not said,
            f"{what} {said}: check the input first, and raise a CalibrationError of one line",
        )


def check_weights(subject: Subject) -> None:
    """Check that stars of weight zero do not count."""
    training, judged = _stars()
    _predict(subject)
    wrong = np.arange(TRAINED) % 4 == 0
    colour = training.colour_mag + np.where(wrong, ABSURD_MAG, 0.0)
    model = _fit(subject, training.features, colour, np.where(wrong, 0.0, 1.0))
    error = _rms(model.predict(judged.features).colour_mag - judged.true_mag)
    demand(
        error < judged.true_mag.std(),
        f"a quarter of the stars, of weight 0 and {ABSURD_MAG:g} mag off, shift predictions by"
        f" {error:.2g} mag: pass `weights` on to the backend",
    )


def check_function_recovered(subject: Subject) -> None:
    """Check that a known function of the spectrum is learnt."""
    training, judged = _stars()
    error = _rms(_predict(subject) - judged.true_mag)
    mean = _rms(training.colour_mag.mean() - judged.true_mag)
    linear = max(_linear_error(training, judged), LEAST_ERROR_MAG / OF_LINEAR)
    demand(
        error <= OF_MEAN * mean,
        f"predictions err by {error:.3f} mag where the mean of all colours errs by {mean:.3f}: the"
        " model learns nothing; check the order of rows and the settings by default",
    )
    demand(
        error <= OF_LINEAR * linear,
        f"predictions err by {error:.3f} mag, more than {OF_LINEAR:g} times as a linear regression"
        f" ({linear:.3f}): check the settings by default",
    )


def _linear_error(training: DrawnStars, judged: DrawnStars) -> float:
    """Return the error of ridge regression on all features, with a small penalty."""
    centre = training.features.mean(axis=0, dtype=np.float64)
    design = training.features - centre
    normal = design.T @ design + 1e-3 * TRAINED * np.eye(design.shape[1])
    offset = training.colour_mag.mean()
    slope = np.linalg.solve(normal, design.T @ (training.colour_mag - offset))
    return _rms((judged.features - centre) @ slope + offset - judged.true_mag)


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def check_smoother(subject: Subject) -> None:
    """Check that a smoother, where there is one, agrees with the model and leaves stars out."""
    training, judged = _stars()
    smoother = _model(subject).smoother(judged.features)
    if smoother is None:
        raise NotTestedError("the model gives no smoother")
    difference = np.max(np.abs(smoother.predict(training.colour_mag) - _predict(subject)))
    demand(
        difference <= ROUNDING_MAG,
        f"the smoother's predictions differ from the model's by up to {difference:.2g} mag: for the"
        " training colours both must be the same",
    )
    moved = training.colour_mag.copy()
    moved[:20] += 1.0
    one = training.colour_mag.copy()
    one[7] += 1.0
    before, after = smoother.held_out(training.colour_mag), smoother.held_out(one)
    demand(
        np.shape(before) == (TRAINED,) and np.isfinite(before).all(),
        "`held_out` must give a finite prediction for each training star",
    )
    demand(
        abs(after[7] - before[7]) <= ROUNDING_MAG,
        "the prediction that `held_out` gives of a star moves with the star's own colour: leave"
        " the star itself out",
    )


def check_model_pickling(subject: Subject) -> None:
    """Check that a trained model predicts the same after pickling, also in another process."""
    judge_copies(subject, "trained model")


def predictions_of(model: FittedColourModel, features: npt.NDArray[Any]) -> FloatArray:
    """Return the colours that a model predicts: what the fresh process computes."""
    return model.predict(features).colour_mag


def _copied(subject: Subject) -> tuple[Any, ...]:
    return predictions_of, _model(subject), _stars()[1].features


def _repeat(subject: Subject) -> Iterator[Repeat]:
    first, features = {"a predicted colour": _predict(subject)}, _stars()[1].features
    trained = {"a predicted colour": predictions_of(_trained(subject), features)}
    advice = "draw only from np.random.default_rng(seed), and pass the seed on to the backend"
    yield Repeat(first, trained, "when the model is trained again with the same seed", advice)
    again = {"a predicted colour": predictions_of(_model(subject), features)}
    yield Repeat(first, again, "in the second call", "`predict` must not draw or change the model")


TRAITS = KindTraits(repeat=_repeat, copied=_copied)
