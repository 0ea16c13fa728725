"""Which scheduler all runs of a user take: the environment comes before the settings."""

import pytest

from scrframe.errors import ConfigError
from scrframe.run.engines.chosen import chosen_scheduler


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRFRAME_SETTINGS", str(tmp_path / "settings.yaml"))
    monkeypatch.delenv("SCRFRAME_SCHEDULER")
    return tmp_path / "settings.yaml"


def test_no_scheduler_is_chosen_where_nothing_is_said(settings):
    assert chosen_scheduler() is None
    settings.write_text("")
    assert chosen_scheduler() is None


def test_the_environment_comes_before_the_settings(settings, monkeypatch):
    settings.write_text("run:\n  scheduler: tcp://head:8786\n")
    assert chosen_scheduler() == "tcp://head:8786"
    monkeypatch.setenv("SCRFRAME_SCHEDULER", "local:3")
    assert chosen_scheduler() == "local:3"
    monkeypatch.setenv("SCRFRAME_SCHEDULER", "")
    assert chosen_scheduler() is None


@pytest.mark.parametrize(
    "text", ["run: 3", "[1]", "runs: {}", "run: {scheduler: [1]}", "a: [", "\x00"]
)
def test_what_is_no_settings_is_refused_by_a_line(settings, text):
    settings.write_text(text)
    with pytest.raises(ConfigError, match="settings") as caught:
        chosen_scheduler()
    assert "\n" not in str(caught.value)
