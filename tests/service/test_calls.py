import pytest

from service.calls import ended_of_deadline


@pytest.mark.parametrize(
    ("remaining", "elapsed", "late"),
    [
        (None, 5.0, False),  # without a deadline
        (-0.001, 0.3, True),
        (0.009, 0.02, True),  # clocks apart
        (0.029, 0.271, True),  # a tenth of the timeout for the way here
        (0.031, 0.269, False),
        (0.249, 9.751, True),  # but not more than a quarter of a second
        (0.251, 9.749, False),
    ],
)
def test_a_call_that_ends_near_its_deadline_ended_of_it(remaining: float | None, elapsed: float, late: bool) -> None:
    assert ended_of_deadline(remaining, elapsed) is late
