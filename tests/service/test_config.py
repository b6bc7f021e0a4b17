from dataclasses import fields
from pathlib import Path

import pytest

from service.cli import main
from service.config import Settings, load_settings, to_environment
from service.errors import ConfigError


def test_flags_win_over_the_environment_over_the_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('\ufeffmax_batch_size = 1\nmax_queue_size = 1000\ngrace = 2.5\nmodels = "m"\n')
    environment = {"SENTIMENT_CONFIG": str(file), "SENTIMENT_MAX_BATCH_SIZE": "2", "SENTIMENT_GRPC_PORT": "7"}
    settings = load_settings({"grpc_port": "9", "command": None}, environment | {"PATH": "/bin"})
    assert settings == Settings(max_batch_size=2, max_queue_size=1000, grace=2.5, grpc_port=9, models=Path("m"))


def test_settings_survive_the_way_through_an_environment() -> None:
    settings = Settings(host="::", models=Path("a b"), trace_ratio=1e-9, workers="auto", log_format="json")
    assert load_settings({}, to_environment(settings)) == settings


def test_every_setting_is_a_flag_and_a_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    shown = capsys.readouterr().out
    for setting in fields(Settings):
        assert f"--{setting.name.replace('_', '-')} " in shown
        assert f"SENTIMENT_{setting.name.upper()}]" in shown.replace("\n", "").replace(" " * 24, "")


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"SENTIMENT_MAX_BATCHSIZE": "8"}, "SENTIMENT_MAX_BATCHSIZE is not a setting; there are: host, "),
        ({"SENTIMENT_MAX_BATCH_SIZE": "many"}, "SENTIMENT_MAX_BATCH_SIZE is 'many'; it must be a whole number"),
        ({"SENTIMENT_MAX_BATCH_SIZE": "-1"}, "max_batch_size is -1; it must be at least 0"),
        ({"SENTIMENT_GRACE": "nan"}, "grace is nan; it must be at least 0"),
        ({"SENTIMENT_GRPC_PORT": "70000"}, "grpc_port is 70000; it must be at most 65535"),
        ({"SENTIMENT_MAX_TEXT_BYTES": "3000000000"}, "max_text_bytes is 3000000000; it must be at most 2147483647"),
        ({"SENTIMENT_TRACE_RATIO": "1.5"}, "trace_ratio is 1.5; it must be at most 1"),
        ({"SENTIMENT_EXECUTION_PROVIDER": "tpu"}, "SENTIMENT_EXECUTION_PROVIDER is 'tpu'; it must be one of auto, cpu"),
        ({"SENTIMENT_MAX_TEXTS": "4000"}, "max_texts is 4000, more than max_queue_size"),
        ({"SENTIMENT_WORKERS": "0"}, "workers is '0'; it must be auto or a whole number, at least 1"),
        ({"SENTIMENT_WORKERS": "many"}, "workers is 'many'; it must be auto"),
        ({"SENTIMENT_CONFIG": "/nowhere.toml"}, "cannot read /nowhere.toml: No such file"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(environment: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load_settings({}, environment)


def test_a_wrong_file_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    for content, reason in [("port = 1", "port in .*settings.toml is not a setting"), ("port", "is not TOML")]:
        file.write_text(content)
        with pytest.raises(ConfigError, match=reason):
            load_settings({"config": str(file)}, {})
