"""How long processes wait for each other: what the program says, the environment, half an hour."""

from torchkeras.distribution import process_group


def test_the_program_goes_before_the_environment(monkeypatch):
    monkeypatch.setattr(process_group._State, "timeout_s", None)
    monkeypatch.delenv("TORCHKERAS_TIMEOUT_S", raising=False)
    assert process_group.timeout().total_seconds() == 1800
    monkeypatch.setenv("TORCHKERAS_TIMEOUT_S", "45.5")
    assert process_group.timeout().total_seconds() == 45.5
    process_group.initialize(timeout_s=7)
    assert process_group.timeout().total_seconds() == 7
