import numpy as np
import pytest
from scipy.special import expit

from export.metrics import classification_metrics, expected_calibration_error, fit_bias, fit_temperature


def test_figures_of_a_small_example() -> None:
    metrics = classification_metrics(np.array([0.9, 0.6, 0.2, 0.4]), np.array([1, 0, 0, 1]))
    assert metrics["accuracy"] == 0.5
    assert metrics["log_loss"] == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.4]).mean())


def test_certainty_does_not_make_the_loss_infinite() -> None:
    assert classification_metrics(np.array([1.0, 0.0]), np.array([0, 1]))["log_loss"] == pytest.approx(-np.log(1e-7))


def test_the_temperature_undoes_what_made_probabilities_too_sure() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 50_000)
    labels = (rng.random(50_000) < expit(logits)).astype(np.int64)
    assert fit_temperature(expit(logits), labels) == pytest.approx(1, abs=0.03)
    assert fit_temperature(expit(3 * logits), labels) == pytest.approx(3, abs=0.1)


def test_calibration_is_the_gap_between_predicted_and_observed() -> None:
    labels = np.array([1] * 8 + [0] * 2)
    assert expected_calibration_error(np.full(10, 0.8), labels) == pytest.approx(0)
    assert expected_calibration_error(np.full(10, 0.9), labels) == pytest.approx(0.1)
    assert expected_calibration_error(np.array([1.0]), np.array([1])) == 0


def test_the_bias_undoes_a_leaning_to_one_class() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 100_000)
    labels = (rng.random(100_000) < expit(logits)).astype(np.int64)
    assert fit_bias(expit(logits), labels) == pytest.approx(0, abs=0.03)
    assert fit_bias(expit(logits - 0.7), labels) == pytest.approx(0.7, abs=0.03)
