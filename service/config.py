"""Settings: from flags, then environment variables, then a TOML file, then defaults. Read once, in `main`.

Each field of `Settings` is a flag (`--max-batch-size`), a variable (`SENTIMENT_MAX_BATCH_SIZE`) and a key of the file
(`max_batch_size`), all of one name.
"""

import argparse
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from service.cores import usable_cores
from service.errors import ConfigError

PREFIX = "SENTIMENT_"
FILE_VARIABLE = PREFIX + "CONFIG"

_PACKAGE = Path(__file__).parent


def default_models() -> Path:
    """The shipped models: inside an installed package, or beside it in a clone."""
    packaged = _PACKAGE / "models" / "imdb-lstm"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "models" / "imdb-lstm"


MOST = 2**31 - 1  # of what gRPC, or an answer of GetModel, holds in 32 bits


def _setting(default: Any, help: str, least: float | None = None, most: float | None = None) -> Any:
    return field(default=default, metadata={"help": help, "least": least, "most": most})


@dataclass(frozen=True)
class Settings:
    """How one server runs."""

    host: str = _setting("127.0.0.1", "address to listen on; 0.0.0.0 for all")
    grpc_port: int = _setting(50051, "port for gRPC; 0 takes a free one", least=0, most=65_535)
    http_port: int = _setting(8080, "port for /metrics, /livez and /readyz; 0 takes a free one", least=0, most=65_535)
    workers: str = _setting("1", "processes that answer, each with an engine; auto takes one for each core")
    models: Path = field(
        default_factory=default_models, metadata={"help": "folder of numbered versions (the shipped one)"}
    )
    model_version: str = _setting(
        "newest", "versions to serve, the default first: newest, all, or numbers with commas between"
    )
    execution_provider: Literal["auto", "cpu", "cuda"] = _setting(
        "auto", "where the model runs; auto takes CUDA if it can be used, cuda refuses to start without"
    )
    precision: Literal["auto", "fp32", "int8"] = _setting(
        "auto", "number format of the model; auto takes the one that its bundle names for where it runs"
    )
    kernel: Literal["auto", "native", "onnxruntime"] = _setting(
        "auto", "what runs the int8 model on a CPU; native is compiled, has the same answers, and is faster"
    )
    max_batch_size: int = _setting(
        0, "most reviews run together; 0 takes what is fastest, measured at the start", least=0, most=MOST
    )
    max_batch_tokens: int = _setting(16_384, "most tokens run together, padding included", least=500)
    max_queue_size: int = _setting(2048, "most reviews waiting; one more is refused", least=1)
    max_text_bytes: int = _setting(65_536, "most bytes of UTF-8 in one review", least=1, most=MOST)
    max_texts: int = _setting(512, "most reviews in one ClassifyBatch", least=1, most=MOST)
    padding: Literal["longest", "max_length"] = _setting(
        "longest", "pad a batch to its longest review, or always to the model's 500 tokens; the answers are the same"
    )
    max_connection_age: float = _setting(
        300.0, "seconds after which a connection ends once its calls are answered: new servers get their share", least=1
    )
    otlp_endpoint: str = _setting(
        "", "OpenTelemetry collector to send traces to, as http://localhost:4317; empty: none"
    )
    trace_ratio: float = _setting(
        0.01, "share of the traces to send, 0 to 1, of those that callers did not begin", least=0, most=1
    )
    grace: float = _setting(30.0, "seconds that accepted reviews have to finish after SIGTERM", least=0)
    log_format: Literal["text", "json"] = _setting("text", "form of the log lines")
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "least severe lines to log")

    def __post_init__(self) -> None:
        for setting in fields(self):
            value, bounds = getattr(self, setting.name), setting.metadata
            if (least := bounds.get("least")) is not None and not value >= least:
                raise ConfigError(f"{setting.name} is {value}; it must be at least {least}")
            if (most := bounds.get("most")) is not None and not value <= most:
                raise ConfigError(f"{setting.name} is {value}; it must be at most {most}")
        if self.workers != "auto" and not (self.workers.isdecimal() and int(self.workers)):
            raise ConfigError(f"workers is {self.workers!r}; it must be auto or a whole number, at least 1")
        if self.max_texts > self.max_queue_size:
            raise ConfigError(
                f"max_texts is {self.max_texts}, more than max_queue_size ({self.max_queue_size}): "
                f"a request of that many could never be taken"
            )

    @property
    def worker_count(self) -> int:
        """How many processes answer."""
        return usable_cores() if self.workers == "auto" else int(self.workers)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """A flag for every setting, and `--config` for the file."""
    parser.add_argument("--config", metavar="FILE", help=f"TOML file of settings [{FILE_VARIABLE}]")
    for setting in fields(Settings):
        default = "" if setting.name == "models" else f" ({setting.default})"
        parser.add_argument(
            "--" + setting.name.replace("_", "-"),
            default=argparse.SUPPRESS,
            metavar=_metavar(setting.type),
            help=f"{setting.metadata['help']}{default} [{PREFIX}{setting.name.upper()}]",
        )


def load_settings(flags: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Settings from parsed flags and an environment. Raises ConfigError naming the setting that is wrong or unknown."""
    config = flags.get("config") or environment.get(FILE_VARIABLE)
    values: dict[str, Any] = _from_file(Path(config)) if config else {}
    values |= _from_environment(environment)
    return Settings(**values | _from_flags(flags))


def to_environment(settings: Settings) -> dict[str, str]:
    """Variables that `load_settings` reads as these settings."""
    return {PREFIX + setting.name.upper(): str(getattr(settings, setting.name)) for setting in fields(Settings)}


def _from_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    names = {setting.name for setting in fields(Settings)} & flags.keys()
    return {name: _convert(name, flags[name], "--" + name.replace("_", "-")) for name in names}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values = {}
    for variable in sorted(environment.keys() - {FILE_VARIABLE}):
        if variable.startswith(PREFIX):
            name = variable.removeprefix(PREFIX).lower()
            values[name] = _convert(name, environment[variable], variable)
    return values


def _from_file(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    return {name: _convert(name, str(value), f"{name} in {path}") for name, value in document.items()}


def _convert(name: str, text: str, source: str) -> Any:
    kind = typing.get_type_hints(Settings).get(name)
    if kind is None:
        known = ", ".join(setting.name for setting in fields(Settings))
        raise ConfigError(f"{source} is not a setting; there are: {known}")
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if text not in choices:
            raise ConfigError(f"{source} is {text!r}; it must be one of {', '.join(choices)}")
        return text
    try:
        return kind(text)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{source} is {text!r}; it must be {wanted}") from None


def _metavar(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return "|".join(typing.get_args(kind))
    return str(kind.__name__).upper()
