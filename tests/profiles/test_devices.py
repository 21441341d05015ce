"""Every shipped figure has a unit, a sign and a source; a profile that is none is refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.core.errors import ConfigError, UnknownFigure
from edgewise.profiles.load import device_names, load_device, save_device

BOARD = """
name = "board"
title = "A board"
idle = { value = 2.0, unit = "W", provenance = "measured", source = "bench" }
[sources]
bench = "our own bench, 2025"
[[runs]]
model = "ResNet-50"
runtime = "onnxruntime"
precision = "float32"
latency = { value = 0.2, unit = "s", provenance = "measured", source = "bench" }
"""


def test_the_named_boards_are_there() -> None:
    assert set(device_names()) >= {"pi4", "jetson_nano", "xavier_nx", "agx_xavier", "agx_orin", "rtx4090_pc"}


@pytest.mark.parametrize("name", device_names())
def test_every_figure_names_where_it_is_from(name: str) -> None:
    device = load_device(name)
    assert device.name == name and device.runs
    for run in device.runs:
        for figure in (run.latency, run.energy, run.power):
            assert figure is None or (len(figure.source) > 20 and figure.provenance in ("quoted", "modelled"))
            assert figure is None or figure.provenance == "quoted" or "calculated" in figure.source


@pytest.mark.parametrize("name", device_names())
def test_no_row_of_a_profile_hides_another(name: str) -> None:
    keys = [(r.model, r.runtime, r.precision) for r in load_device(name).runs]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("name", device_names())
def test_power_energy_and_latency_of_a_row_agree(name: str) -> None:
    for run in load_device(name).runs:
        if run.energy and run.power:
            assert run.energy.value == pytest.approx(run.power.value * run.latency.value, rel=0.02)


def test_the_runtime_is_part_of_the_key() -> None:
    pi = load_device("pi4")
    found = {pi.run("MobileNetV2", r, "float32").latency.value for r in ("ArmNN", "TFLite", "TFLite, deepedgebench")}
    assert found == {0.0647, 0.0739, 0.193}


def test_what_is_not_quoted_stays_unknown() -> None:
    assert load_device("agx_orin").idle is None
    with pytest.raises(UnknownFigure, match="BERT-99"):
        load_device("xavier_nx").run("ResNet-50")


def test_a_person_s_own_profile_reads_with_its_sources(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text(BOARD)
    device = load_device(file)
    assert device.runs[0].latency.source == "our own bench, 2025" == (device.idle and device.idle.source)


def test_this_is_what_a_calibration_wrote(tmp_path: Path) -> None:
    file = tmp_path / "this.json"
    with pytest.raises(ConfigError, match="edgewise calibrate"):
        load_device("this", file)
    save_device(load_device("pi4"), file)
    assert load_device("this", file) == load_device("pi4")
    assert [p.name for p in tmp_path.iterdir()] == ["this.json"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('value = 0.2, unit = "s"', 'value = -0.2, unit = "s"'), "more than 0"),
        (('value = 0.2, unit = "s"', 'value = nan, unit = "s"'), "more than 0"),
        (('value = 0.2, unit = "s"', 'value = 200, unit = "ms"'), "in s"),
        (('value = 0.2, unit = "s"', 'value = "fast", unit = "s"'), "latency.value"),
        (
            ('provenance = "measured", source = "bench" }\n[sources]', 'provenance = "guessed", source = "bench" }\n[sources]'),
            "idle",
        ),
        (('source = "bench" }\n[sources]', 'source = "" }\n[sources]'), "no source"),
        (("title", "tilte"), "title|tilte"),
        (("[[runs]]", "[[runs"), "cannot be read"),
        (('bench = "our own bench, 2025"', "bench = 5"), "sources"),
    ],
)
def test_a_profile_that_is_none_is_refused_in_words(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    assert change[0] in BOARD
    file = tmp_path / "board.toml"
    file.write_text(BOARD.replace(*change, 1))
    with pytest.raises(ConfigError, match=said):
        load_device(file)


def test_an_unknown_device_is_told_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="pi4"):
        load_device("pi5")
