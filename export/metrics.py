"""Figures of a binary classifier from its probabilities."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit


def classification_metrics(
    probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], threshold: float = 0.5
) -> dict[str, float]:
    """Accuracy, log loss (nats) and expected calibration error of probabilities (n,) against labels (n,) of 0 and 1."""
    inside = np.clip(probabilities, 1e-7, 1 - 1e-7)  # log 0 of a float32 that rounded to 0 or 1
    return {
        "accuracy": float(((probabilities >= threshold) == labels).mean()),
        "log_loss": float(-np.where(labels, np.log(inside), np.log(1 - inside)).mean()),
        "expected_calibration_error": expected_calibration_error(probabilities, labels),
    }


def expected_calibration_error(
    probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], bins: int = 15
) -> float:
    """Mean distance of predicted from observed positive share over equal-width bins, weighted by their reviews.

    Guo et al., On Calibration of Modern Neural Networks (2017), with the positive class's probability.
    """
    which = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = np.bincount(which, probabilities - labels, minlength=bins)  # per bin: reviews x (predicted - observed)
    return float(np.abs(gaps).sum() / len(labels))


def fit_temperature(probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    """The number that logits must be divided by for the least log loss on these labels (Guo et al., 2017)."""
    logits = _logits(probabilities)
    return float(np.exp(_least(lambda log: _log_loss(logits / np.exp(log), labels))))


def fit_bias(probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    """The number that must be added to logits for the least log loss on these labels.

    With the temperature this is Platt scaling (Platt, Probabilistic Outputs for Support Vector Machines, 1999).
    """
    logits = _logits(probabilities)
    return _least(lambda bias: _log_loss(logits + bias, labels))


def _logits(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    logits: npt.NDArray[np.float64] = logit(np.clip(probabilities, 1e-12, 1 - 1e-12))
    return logits


def _log_loss(logits: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    return classification_metrics(expit(logits), labels)["log_loss"]


def _least(loss: Callable[[float], float]) -> float:
    return float(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x)
