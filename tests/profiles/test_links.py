"""Traces keep the bits of the files they come from; shipped ones come from their script; malformed ones are refused."""

from __future__ import annotations

import runpy
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.errors import ConfigError
from edgewise.profiles.load import HERE, link_names, load_link, read_device
from edgewise.profiles.traces import PACKET, load_trace, mahimahi, time_rate, trace_link

ROOT = Path(__file__).parents[2]


def numbered(text: str) -> list[tuple[int, str]]:
    return list(enumerate(text.split("\n"), 1))


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=200).filter(any).map(sorted))
def test_a_mahimahi_trace_keeps_its_packets(packets: list[int]) -> None:
    trace = mahimahi(iter(numbered("\n".join(map(str, packets)))), "drawn")
    assert trace.duration == packets[-1] / 1000
    assert trace.bits(trace.duration) == pytest.approx(len(packets) * PACKET)
    for edge in range(1, int(trace.duration / 0.1)):  # and at the edge of each bin of 0.1 s
        passed = sum(p < edge * 100 for p in packets)
        assert trace.bits(edge * 0.1) == pytest.approx(passed * PACKET, abs=1e-3)


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.01, 100)), min_size=2, max_size=40), st.floats(0, 1e6))
def test_a_table_of_rates_keeps_each_rate_until_the_next_time(rows: list[tuple[float, float]], begin: float) -> None:
    times = [begin + sum(step for step, _ in rows[:i]) for i in range(len(rows))]
    trace = time_rate(iter(numbered("\n".join(f"{t!r}\t{r!r}" for t, (_, r) in zip(times, rows)))), "drawn")
    for at, (step, rate) in zip(times, rows[:-1]):
        assert trace.rate(at - begin + step / 2) == pytest.approx(rate * 1e6)


def test_a_first_line_may_name_the_unit(tmp_path: Path) -> None:
    file = tmp_path / "rates.csv"
    file.write_text("# ours\ntime_s,rate_kbit_s\n\n0,8\n1,16\n")
    assert load_trace(file).rates == (8e3, 16e3)


@pytest.mark.parametrize("name", link_names())
def test_a_shipped_link_carries_a_picture(name: str) -> None:
    link = load_link(name)
    assert link.name == name
    assert 0 < link.delay < link.transfer(20e3, 1.0) - 1.0 < 600


def test_the_shipped_traces_are_those_of_their_script() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "synthetic_links.py"))["files"]()
    assert {p.name: p.read_text(encoding="ascii") for p in (HERE / "links").glob("*.csv")} == made


def test_a_number_is_a_constant_rate() -> None:
    link = load_link("2.5")
    assert (link.rate_up, link.rate_down, link.radio) == (2.5e6, 2.5e6, "unknown")
    with pytest.raises(ConfigError, match=r"a rate in Mbit/s"):
        load_link("-5")


def test_a_single_recording_serves_both_ways_and_a_pair_its_own(tmp_path: Path) -> None:
    (tmp_path / "City-LTE-walk.up").write_text("100\n")
    link = trace_link(tmp_path / "City-LTE-walk.up")
    assert (link.radio, link.trace_down) == ("lte", link.trace_up)
    (tmp_path / "City-LTE-walk.down").write_text("50\n100\n")
    for end in (".up", ".down"):
        link = trace_link(tmp_path / f"City-LTE-walk{end}")
        assert link.trace_up and link.trace_down and link.trace_down.mean == 2 * link.trace_up.mean


def test_a_person_s_own_link_finds_the_trace_beside_it(tmp_path: Path) -> None:
    (tmp_path / "walk.csv").write_text("0 1\n1 2\n")
    (tmp_path / "walk.toml").write_text('name = "walk"\nsource = "my own"\ndelay = 0.05\ntrace_up = "walk.csv"\n')
    link = load_link(tmp_path / "walk.toml")
    assert (link.delay, link.rate(1.5), link.radio) == (0.05, 2e6, "")
    assert load_link(tmp_path / "walk.csv").radio == "unknown"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.up", "", "no packet"),
        ("a.up", "0\n0\n", "no packet"),
        ("a.up", "5\n3\n", "line 2 .*back in time"),
        ("a.up", "5\n-6\n", "line 2 "),
        ("a.up", "5\n6.5\n", "line 2 "),
        ("a.up", "5\n99999999999999999999\n", "line 2 "),
        ("a.down", "99999999999\n", "too long"),
        ("a.csv", "0,1\n", "too few"),
        ("a.csv", "0,1\n1\n", "line 2 "),
        ("a.csv", "0,1\n1,fast\n", "line 2 "),
        ("a.csv", "0,1\n1,-2\n", "line 2 "),
        ("a.csv", "0,1\n1,nan\n", "line 2 "),
        ("a.csv", "0,1\n1,inf\n", "line 2 "),
        ("a.csv", "0,1\n0,1\n", "line 2 "),
        ("a.csv", "0,1\ninf,1\n", "line 2 "),
        ("a.csv", "0,1\n1e9,1\n", "too long"),
        ("a.csv", "time,speed\n0,1\n1,1\n", "names no unit"),
        ("a.csv", "0,1\n1,1e-12\n", "impossible rate"),
        ("a.toml", "name = 5\n", "LinkProfile"),
        ("a.toml", 'name = "a"\nsource = "b"\nrate = 5\n', "rate"),
        ("a.toml", 'name = "a"\nsource = "b"\ntrace_up = "none.csv"\n', "no such trace"),
        ("a.toml", 'name = "a"\nsource = "b"\nloss = 1.5\n', "impossible"),
    ],
)
def test_a_malformed_file_is_refused_in_words(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_link(tmp_path / name)


@given(st.binary(max_size=200), st.sampled_from([".up", ".csv", ".toml"]))
def test_any_bytes_are_a_link_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, content: bytes, end: str) -> None:
    file = tmp_path_factory.getbasetemp() / f"drawn{end}"
    file.write_bytes(content)
    try:
        assert load_link(file).transfer(1.0, 0.0) >= 0
    except ConfigError as error:
        assert "drawn" in str(error) or "trace" in str(error)


def test_the_recorded_uplinks_have_their_published_means(data_pack: Callable[[str], Path], tmp_path: Path) -> None:
    with tarfile.open(data_pack("links/mahimahi/mahimahi-traces.tar.gz")) as pack:
        pack.extractall(tmp_path, filter="data")
    folder = tmp_path / "mahimahi"
    means = {"Verizon-LTE-short": 5.95, "TMobile-LTE-short": 13.3, "ATT-LTE-driving-2016": 1.91, "TMobile-UMTS-driving": 0.94}
    for name, mean in means.items():
        link = load_link(folder / f"{name}.up")
        assert link.trace_up and link.trace_up.mean == pytest.approx(mean * 1e6, rel=0.01)
        assert link.radio in ("lte", "3g")
    dead = load_link(folder / "ATT-LTE-driving.up").trace_up
    assert dead and sum(dead.bits(s + 1) == dead.bits(s) for s in range(int(dead.duration))) == pytest.approx(94, abs=3)


@pytest.mark.parametrize("name", ["../a.up", "/etc/passwd", "x" * 300, "b/c.csv", ".."])
def test_a_trace_lies_beside_its_link(tmp_path: Path, name: str) -> None:
    """Found by fuzzing: a name that is too long was an OSError, and one with a path was followed."""
    (tmp_path / "a.toml").write_text(f'name = "a"\nsource = "b"\ntrace_up = "{name}"\n')
    with pytest.raises(ConfigError, match="beside it"):
        load_link(tmp_path / "a.toml")


@pytest.mark.parametrize(("name", "text"), [("a.toml", "a = " + "[" * 5000), ("a.json", '{"a": ' * 3000)])
def test_a_bottomless_profile_is_refused(tmp_path: Path, name: str, text: str) -> None:
    """Found by fuzzing: the readers of TOML and JSON go as deep as the file."""
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=r"cannot be read|too deeply"):
        read_device(tmp_path / name)
