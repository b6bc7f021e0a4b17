"""Values as Grafana writes them, by the unit of a panel."""

import math

_SUFFIXES = {"reqps": " req/s", "cps": " c/s", "ops": " ops/s"}
_TIMES = ((1.0, 1.0, "s"), (1e-3, 1e3, "ms"), (0.0, 1e6, "µs"))
_LONG_TIMES = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def write(value: float, unit: str, decimals: int | None = None) -> str:
    """A value with its unit, in about three digits or with so many decimals."""
    if math.isnan(value):
        return "NaN"
    if unit == "s":
        return _time(value)
    if unit == "percentunit":
        return _number(100 * value, decimals) + "%"
    if unit == "bytes":
        return f"{_number(value / 2**20, decimals)} MiB"
    suffix = unit.removeprefix("suffix:") if unit.startswith("suffix:") else _SUFFIXES.get(unit, "")
    if unit != "none" and abs(value) >= 1e3:
        return f"{_number(value / 1e3, decimals)} K{suffix}"
    return _number(value, decimals) + suffix


def _time(value: float) -> str:
    for least, letter in _LONG_TIMES:
        if value >= 2 * least:
            return f"{_number(value / least, None)} {letter}"
    factor, name = next((factor, name) for least, factor, name in _TIMES if abs(value) >= least or not least)
    return f"{_number(value * factor, None)} {name}" if value else "0 s"


def _number(value: float, decimals: int | None) -> str:
    if decimals is None and abs(value) >= 1e3:
        decimals = 0
    return f"{value:,.{decimals}f}" if decimals is not None else f"{value:.3g}"
