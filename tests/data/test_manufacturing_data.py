"""AI4I, C-MAPSS and the Tennessee Eastman process: loaders, simulators, and whether the two agree."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.data.ai4i import MODES, QUALITIES, ai4i, failure_modes, simulate_ai4i
from course_lib.data.cmapss import Engine, cmapss, cut_windows, piecewise, simulate_cmapss, truncate
from course_lib.data.tennessee_eastman import FAULTS, KINDS, VARIABLES, simulate_process, tennessee_eastman
from tests.data.test_loaders import real, write

# --- AI4I 2020 ------------------------------------------------------------------------------------------------------

HEADER = (
    "UID,Product ID,Type,Air temperature [K],Process temperature [K],Rotational speed [rpm],Torque [Nm],"
    "Tool wear [min],Machine failure,TWF,HDF,PWF,OSF,RNF\n"
)


def test_ai4i(tmp_path):
    rows = "1,M1,M,298.1,308.6,1551,42.8,0,0,0,0,0,0,0\r\n2,L2,L,298.2,308.7,1408,46.3,3,1,0,1,0,0,1\n"
    data = ai4i(write(tmp_path, a__csv=HEADER + rows) / "a.csv")
    assert [QUALITIES[q] for q in data.quality] == ["M", "L"]
    np.testing.assert_array_equal(data.measurements, [[298.1, 308.6, 1551, 42.8, 0], [298.2, 308.7, 1408, 46.3, 3]])
    np.testing.assert_array_equal(data.modes, [[False] * 5, [False, True, False, False, True]])
    assert data.failure.tolist() == [0, 1]
    np.testing.assert_array_equal(data.features()[1], [298.2, 308.7, 1408, 46.3, 3, 1, 0, 0])
    assert data.take([1]).quality.tolist() == [0]
    assert len(data.take([1, 1, 0])) == 3


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (HEADER, r"a\.csv has a header and no product"),
        (HEADER.replace("Type", "Kind") + "1\n", "'Type' must be one"),
        (HEADER + "1,X1,X,1,1,1,1,1,0,0,0,0,0,0\n", "line 2: the type is 'X'; it must be one of L, M, H"),
        (HEADER + "1,L1,L,1,hot,1,1,1,0,0,0,0,0,0\n", r"line 2: 'Process temperature \[K\]' is 'hot'"),
        (HEADER + "1,L1,L,1,nan,1,1,1,0,0,0,0,0,0\n", "is 'nan'; it must be a number"),
        (HEADER + "1,L1,L,1,1,1,1,1,0,0,0,0,0,2\n", "line 2: 'RNF' is '2'; it must be 0 or 1"),
        (HEADER + "1,L1,L,1,1,1\n", r"'Torque \[Nm\]' is None"),
    ],
)
def test_wrong_products_say_why(tmp_path, text, error):
    with pytest.raises(ValueError, match=error):
        ai4i(write(tmp_path, a__csv=text) / "a.csv")


def test_rules_at_their_limits():
    """One row for each side of each limit: air, process, speed, torque, wear; and the three modes."""
    watt = 60 / (2 * math.pi)  # what turns a power over a torque into a speed
    rows = [
        ("L", 300, 308.5, 1379, 40, 0, "HDF"), ("L", 300, 308.6, 1379, 40, 0, ""), ("L", 300, 308.5, 1380, 40, 0, ""),
        ("L", 300, 310, 3499 / 30 * watt, 30, 0, "PWF"), ("L", 300, 310, 3501 / 30 * watt, 30, 0, ""),
        ("L", 300, 310, 9001 / 60 * watt, 60, 0, "PWF"), ("L", 300, 310, 8999 / 60 * watt, 60, 0, ""),
        ("L", 300, 310, 1400, 50, 221, "OSF"), ("L", 300, 310, 1400, 50, 220, ""), ("M", 300, 310, 1400, 50, 239, ""),
        ("M", 300, 310, 1400, 50, 241, "OSF"), ("H", 300, 310, 1400, 50, 259, ""),
        ("H", 300, 310, 1400, 50, 261, "OSF"),
    ]  # fmt: skip
    quality = np.array([QUALITIES.index(row[0]) for row in rows])
    found = failure_modes(quality, np.array([row[1:6] for row in rows], float))
    np.testing.assert_array_equal(found, [[row[6] == mode for mode in MODES[1:4]] for row in rows])


def test_the_published_products_follow_the_rules():
    data = ai4i(real("manufacturing/ai4i2020/ai4i2020.csv"))
    assert (len(data), data.failure.sum()) == (10_000, 339)
    assert data.modes.sum(axis=0).tolist() == [46, 115, 95, 98, 19]
    wrong = failure_modes(data.quality, data.measurements) != data.modes[:, 1:4]
    assert wrong.sum(axis=0).tolist() == [12, 0, 0]  # at 8.6 K, where the file's temperatures are rounded
    air, process, *_ = data.measurements[wrong[:, 0]].T
    np.testing.assert_allclose(process - air, 8.6)
    unnamed, random = (data.failure == 1) & ~data.modes.any(axis=1), data.modes[:, 4]
    assert (unnamed.sum(), random.sum(), (data.failure[random] == 0).sum()) == (9, 19, 18)


def test_a_simulated_run():
    data = simulate_ai4i(20_000, seed=0)
    air, process, speed, torque, wear = data.measurements.T
    assert (air.mean(), air.std()) == (pytest.approx(300, abs=0.01), pytest.approx(2, abs=0.01))
    assert ((process - air).mean(), (process - air).std()) == (
        pytest.approx(10, abs=0.01),
        pytest.approx(1, abs=0.01),
    )
    for series in (air, process - air):  # both wander: what was a moment ago is still so
        assert np.corrcoef(series[:-1], series[1:])[0, 1] > 0.98
    pairs = [(m[:, 0], m[:, 1] - m[:, 0]) for m in (simulate_ai4i(500, seed=seed).measurements for seed in range(30))]
    assert np.mean([abs(np.corrcoef(*pair)[0, 1]) for pair in pairs]) < 0.8  # and each by itself
    assert (torque.mean(), torque.std()) == (pytest.approx(40, abs=0.3), pytest.approx(10, abs=0.3))
    assert (torque >= 0).all()
    np.testing.assert_allclose(np.bincount(data.quality) / len(data), [0.6, 0.3, 0.1], atol=0.015)
    usual = torque > 14
    noise = (speed - 1000 - 20_000 / torque)[usual]
    assert (noise.mean(), noise.std()) == (pytest.approx(0, abs=1.5), pytest.approx(50, abs=2))
    # A product adds its minutes; a tool that fails is exchanged.
    added = np.diff(wear)
    np.testing.assert_array_equal(added[added > 0], np.array([2, 3, 5])[data.quality[:-1]][added > 0])
    assert (wear[1:][added < 0] == 0).all()
    assert wear[0] == 0
    last = wear[:-1][added < 0]
    assert 210 < last.mean() < 219
    worn = data.modes[:-1, 0]
    assert (added[worn] < 0).all()
    assert 0.3 < worn.sum() / (added < 0).sum() < 0.55
    assert 0.0003 < data.modes[:, 4].mean() < 0.002
    np.testing.assert_array_equal(data.failure, data.modes.any(axis=1))
    rules = failure_modes(data.quality, data.measurements) != data.modes[:, 1:4]
    assert (rules[:, 0].mean(), rules[:, 1:].sum()) == (pytest.approx(0, abs=0.01), 0)
    again = simulate_ai4i(20_000, seed=0)
    np.testing.assert_array_equal(again.measurements, data.measurements)
    assert (simulate_ai4i(20_000, seed=1).measurements != data.measurements).any()


def test_simulated_rates_are_those_of_the_file():
    """Within what runs of that size differ by; random failures are the exception that `Ai4i` explains."""
    data = ai4i(real("manufacturing/ai4i2020/ai4i2020.csv"))
    runs = [simulate_ai4i(10_000, seed=seed) for seed in range(40)]
    counts = np.array([[*run.modes.sum(axis=0), run.failure.sum()] for run in runs])
    wanted = np.array([*data.modes.sum(axis=0), data.failure.sum()])
    distance = (wanted - counts.mean(axis=0)) / counts.std(axis=0)
    for name, z in zip((*MODES[:4], "any"), distance[[0, 1, 2, 3, 5]], strict=True):
        assert abs(z) < 2.5, name
    assert counts[:, 4].mean() == pytest.approx(10, abs=2.5)  # the described rate, which the nine unnamed failures fit
    speeds = np.array([run.measurements[:, 2].mean() for run in runs])
    assert abs(data.measurements[:, 2].mean() - speeds.mean()) < 4 * speeds.std()


def test_bad_simulations_say_why():
    for simulate, least in ((simulate_ai4i, 2), (simulate_cmapss, 1), (simulate_process, 1)):
        with pytest.raises(ValueError, match=f"count is {least - 1}; it must be a whole number of at least {least}"):
            simulate(count=least - 1)
        with pytest.raises(ValueError, match="seed is -1"):
            simulate(seed=-1)


# --- C-MAPSS --------------------------------------------------------------------------------------------------------


def fleet(*lives):
    """The table of engines with these lives; sensor s of engine u shows 100 u + cycle + s / 100."""
    return "".join(
        f"{unit} {cycle} 0.1 0.2 100.0 " + " ".join(str(100 * unit + cycle + s / 100) for s in range(21)) + " \n"
        for unit, life in enumerate(lives, 1)
        for cycle in range(1, life + 1)
    )


def test_cmapss(tmp_path):
    write(tmp_path, train_FD003__txt=fleet(4, 2), test_FD003__txt=fleet(3, 1), RUL_FD003__txt="7 \n0 \n")
    train, test = cmapss(tmp_path, "FD003")
    assert [engine.remaining.tolist() for engine in train] == [[3, 2, 1, 0], [1, 0]]
    assert [engine.remaining.tolist() for engine in test] == [[9, 8, 7], [0]]
    assert train[1].sensors.shape == (2, 21)
    assert train[1].sensors[1, 20] == 202.2
    np.testing.assert_array_equal(train[1].settings, [[0.1, 0.2, 100]] * 2)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"RUL_FD001__txt": "7\n"}, r"test_FD001\.txt has 2 engines, and there are 1 numbers"),
        ({"RUL_FD001__txt": "7\n-1\n"}, "whole numbers of at least 0"),
        ({"RUL_FD001__txt": "7\n1.5\n"}, "whole numbers of at least 0"),
        ({"train_FD001__txt": "1 1 2\n"}, r"train_FD001\.txt has 3 columns; there must be 26"),
        ({"train_FD001__txt": "a b\n"}, r"train_FD001\.txt is no table of numbers"),
        ({"train_FD001__txt": fleet(2).replace("1 2 0.1", "3 1 0.1")}, "number its engines from 1, without a gap"),
        ({"train_FD001__txt": fleet(2).replace("1 2 0.1", "1 3 0.1")}, "the cycles of engine 1 must be 1, 2"),
    ],
)
def test_wrong_fleets_say_why(tmp_path, changes, text):
    good = {"train_FD001__txt": fleet(2), "test_FD001__txt": fleet(1, 1), "RUL_FD001__txt": "1\n2\n"}
    write(tmp_path, **good | changes)
    with pytest.raises(ValueError, match=text):
        cmapss(tmp_path)
    with pytest.raises(ValueError, match="subset is 'FD005'"):
        cmapss(tmp_path, "FD005")


def engine(life, left=0):
    cycles = np.arange(life)
    return Engine(np.zeros((life, 3)), cycles[:, None] + np.arange(21) / 100, cycles[::-1] + left)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=3), st.integers(1, 6), st.integers(1, 4), st.integers(1, 9)
)  # fmt: skip
def test_windows_by_a_loop(lives, length, step, limit):
    engines = [engine(life, left=number) for number, life in enumerate(lives)]
    found = cut_windows(engines, length, limit, step)
    rows = []
    for number, one in enumerate(engines):
        readings = [one.sensors[0]] * max(0, length - len(one)) + list(one.sensors)
        ends = [end for end in range(length - 1, len(readings)) if (len(readings) - 1 - end) % step == 0]
        for end in ends:
            left = one.remaining[-1] + len(readings) - 1 - end
            rows.append((np.array(readings[end - length + 1 : end + 1]), min(left, limit), left, number))
    np.testing.assert_allclose(found.inputs, [row[0] for row in rows], rtol=1e-6)
    assert found.inputs.dtype == found.targets.dtype == np.float32
    assert (found.targets.tolist(), found.remaining.tolist(), found.engine.tolist()) == (
        [row[1] for row in rows],
        [row[2] for row in rows],
        [row[3] for row in rows],
    )
    last = cut_windows(engines, length, limit, step, last=True, sensors=[3, 1])
    assert last.engine.tolist() == list(range(len(lives)))
    for number, one in enumerate(engines):
        np.testing.assert_allclose(last.inputs[number, -1], one.sensors[-1, [3, 1]], rtol=1e-6)
        assert last.remaining[number] == number


def test_targets_are_cut():
    np.testing.assert_array_equal(piecewise([0, 124, 125, 126, 300]), [0, 124, 125, 125, 125])
    np.testing.assert_array_equal(piecewise(np.array([3, 1]), 2), [2, 1])
    with pytest.raises(ValueError, match="limit is 0"):
        piecewise([1], 0)
    for options, text in (
        ({"length": 0}, "length is 0"),
        ({"step": 0}, "step is 0"),
        ({"sensors": [21]}, "sensors is"),
    ):
        with pytest.raises(ValueError, match=text):
            cut_windows([engine(3)], **options)
    with pytest.raises(ValueError, match="engines is empty"):
        cut_windows([])


def test_engines_stop_where_nobody_saw_the_end():
    engines = simulate_cmapss(200, seed=0)
    stopped = truncate(engines, seed=1)
    shown, left = np.array([len(e) for e in stopped]), np.array([e.remaining[-1] for e in stopped])
    assert (shown >= 30).all()
    assert ((left <= 145) | (shown == 30)).all()
    assert (shown + left == [len(e) for e in engines]).all()
    assert 60 < left.mean() < 85
    np.testing.assert_array_equal(stopped[3].sensors, engines[3].sensors[: shown[3]])
    assert [len(e) for e in truncate(engines, seed=1)] == shown.tolist() != [len(e) for e in truncate(engines, seed=2)]
    assert len(truncate([engine(5)], least=9)[0]) == 5
    for options, text in (({"least": 0}, "least is 0"), ({"most": -1}, "most is -1")):
        with pytest.raises(ValueError, match=text):
            truncate(engines, **options)


def slopes(engines):
    """How far each sensor moves in the last 50 cycles, in standard deviations of a healthy reading."""
    first = [e.sensors[:40] for e in engines]
    noise = np.sqrt(np.mean([part.var(axis=0) for part in first], axis=0))
    moved = np.mean([e.sensors[-5:].mean(axis=0) - e.sensors[-55:-50].mean(axis=0) for e in engines], axis=0)
    return np.divide(moved, noise, out=np.zeros(21), where=noise > 1e-9)


def test_a_simulated_fleet():
    engines = simulate_cmapss(400, seed=0)
    lives = np.array([len(e) for e in engines])
    assert (lives.mean(), lives.std()) == (pytest.approx(206, abs=7), pytest.approx(45, abs=6))
    assert all(e.remaining[-1] == 0 and len(e.sensors) == len(e) for e in engines)
    still = [0, 4, 9, 15, 17, 18]
    assert all((e.sensors[:, still] == engines[0].sensors[0, still]).all() for e in engines)
    np.testing.assert_array_equal(simulate_cmapss(2, seed=3)[1].sensors, simulate_cmapss(2, seed=3)[1].sensors)
    falls, moved = [6, 11, 19, 20], slopes(engines)  # pressure, fuel and coolant flows; temperatures and speeds rise
    assert np.flatnonzero(moved < -1).tolist() == falls
    assert np.flatnonzero(moved > 0.5).tolist() == [n for n in range(21) if n not in (5, *still, *falls)]
    # Damage is exponential: half of the way is made in the last tau ln 2 cycles, about 35.
    moving = [3, 6, 10, 11]
    rise = np.mean([e.sensors[-71:, moving] - e.sensors[:40, moving].mean(axis=0) for e in engines], axis=0)
    half = (rise[-38:-33].mean(axis=0) / (rise[-3:].mean(axis=0))).mean()
    assert 0.4 < half < 0.6


def test_the_published_engines_and_the_simulated_ones():
    train, test = cmapss(real("manufacturing/cmapss"))
    assert (len(train), len(test)) == (100, 100)
    assert (sum(map(len, train)), sum(map(len, test))) == (20_631, 13_096)
    assert (test[0].remaining[-1], len(test[0]), test[0].remaining[0]) == (112, 31, 142)
    assert cut_windows(test, 30, last=True).inputs.shape == (100, 30, 21)
    lives, ours = np.array([len(e) for e in train]), np.array([len(e) for e in simulate_cmapss(400, seed=1)])
    error = np.hypot(lives.std() / 10, ours.std() / 20)
    assert abs(lives.mean() - ours.mean()) < 3 * error
    found, wanted = slopes(simulate_cmapss(100, seed=2)), slopes(train)
    moves = np.abs(wanted) > 0.5
    assert moves.sum() == 14
    np.testing.assert_array_equal(np.sign(found[moves]), np.sign(wanted[moves]))
    # Engines of the file have noise of their own kind in two speeds of the core (sensors 9 and 14): those apart.
    plain = moves & ~np.isin(np.arange(21), [8, 13])
    np.testing.assert_allclose(found[plain] / wanted[plain], 1, atol=0.35)


# --- Tennessee Eastman ----------------------------------------------------------------------------------------------


def write_runs(folder, *numbers):
    """Runs whose variable v shows, at sample s, 1000 s + v."""
    for number in numbers:
        table = 1000 * np.arange(960)[:, None] + np.arange(52)
        train = table[:500].T if number == 0 else table[:480]
        for name, rows in ((f"d{number:02d}.dat", train), (f"d{number:02d}_te.dat", table)):
            np.savetxt(folder / name, rows)
    return folder


def test_tennessee_eastman(tmp_path):
    runs = tennessee_eastman(write_runs(tmp_path, 0, 4))
    assert sorted(runs) == [0, 4]
    assert runs[0][0].values.shape == (500, 52)
    for train, test in runs.values():
        assert train.values[3, 5] == test.values[3, 5] == 3005
    assert [(t.is_faulty.sum(), e.is_faulty.sum()) for t, e in runs.values()] == [(0, 0), (480, 800)]
    assert not runs[4][1].is_faulty[:160].any()
    assert len(runs[4][1]) == 960


def test_wrong_runs_say_why(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"d00\.dat"):
        tennessee_eastman(tmp_path)
    write_runs(tmp_path, 0, 4)
    np.savetxt(tmp_path / "d04.dat", np.zeros((52, 480)))
    with pytest.raises(ValueError, match=r"d04\.dat has the shape \(52, 480\); it must be \(480, 52\)"):
        tennessee_eastman(tmp_path)
    (tmp_path / "d04.dat").write_text("a b\n")
    with pytest.raises(ValueError, match=r"d04\.dat is no table of numbers"):
        tennessee_eastman(tmp_path)
    (tmp_path / "d22.dat").write_text("1")
    with pytest.raises(ValueError, match=r"d22\.dat; the faults are numbered from 0 to 21"):
        tennessee_eastman(tmp_path)


def components(train, kept):
    """T2 and Q, the usual statistics, as functions of values."""
    mean, spread = train.mean(axis=0), train.std(axis=0)
    _, singular, axes = np.linalg.svd((train - mean) / spread, full_matrices=False)
    axes, variance = axes[:kept].T, singular[:kept] ** 2 / len(train)

    def statistics(values):
        scaled = (values - mean) / spread
        scores = scaled @ axes
        return np.square(scores / np.sqrt(variance)).sum(axis=1), np.square(scaled - scores @ axes.T).sum(axis=1)

    return statistics


def detected(train, normal, faulty, kept):
    statistics = components(train, kept)
    limits = [np.quantile(values, 0.99) for values in statistics(normal)]
    both = [values > limit for values, limit in zip(statistics(faulty.values), limits, strict=True)]
    return [alarms[faulty.is_faulty].mean() for alarms in both], [alarms[~faulty.is_faulty].mean() for alarms in both]


def test_the_published_runs():
    runs = tennessee_eastman(real("manufacturing/tennessee_eastman"))
    assert sorted(runs) == [0, 1, 2, 4, 5, 6, 11]
    assert len(VARIABLES) == 52
    assert set(FAULTS) == set(range(22))
    train, test = runs[0]
    np.testing.assert_allclose(train.values.mean(axis=0), test.values.mean(axis=0), rtol=0.1)
    for number, (t2, q) in {1: (0.9, 0.9), 6: (0.9, 0.9), 4: (0.0, 0.9)}.items():
        (found_t2, found_q), early = detected(train.values, test.values, runs[number][1], 17)
        assert found_t2 >= t2
        assert found_q >= q
        assert max(early) < 0.05  # before the fault begins
    assert detected(train.values, test.values, runs[4][1], 17)[0][0] < 0.3  # T2 hardly sees fault 4


def test_simulated_faults_are_of_four_kinds():
    train, normal = (simulate_process(seed=seed, count=4000).values for seed in (0, 1))
    found = {kind: detected(train, normal, simulate_process(kind, seed=2, count=4000), 4)[0] for kind in KINDS}
    assert found["step"][0] > 0.5 > 0.1 > found["step"][1]  # along the usual directions, only farther
    assert found["drift"][0] > 0.2 > 0.1 > found["drift"][1]
    assert found["noise"][1] > 0.5 > found["noise"][0]
    assert found["relation"][1] > 0.3 > 0.1 > found["relation"][0]  # nothing goes far, and it does not fit together


def test_a_simulated_process():
    run = simulate_process(count=20_000, seed=1)
    np.testing.assert_allclose(run.values.std(axis=0), 1, atol=0.1)
    assert not run.is_faulty.any()
    causes = np.linalg.eigvalsh(np.corrcoef(run.values.T))[::-1]
    assert causes[:4].sum() == pytest.approx(16, rel=0.06)  # four causes have four fifths of the variance of 20
    lag = np.mean([np.corrcoef(column[:-1], column[1:])[0, 1] for column in run.values.T])
    assert lag == pytest.approx(0.8 * 0.9, abs=0.03)
    fault = simulate_process("relation", count=20_000, start=10_000, seed=2)
    np.testing.assert_allclose(fault.values[10_000:].std(axis=0), 1, atol=0.12)
    assert (fault.is_faulty.sum(), fault.is_faulty[9_999], fault.is_faulty[10_000]) == (10_000, False, True)
    same = simulate_process(None, count=20_000, start=10_000, seed=2)
    changed = np.abs(fault.values - same.values).max(axis=0) > 0
    assert changed.sum() == 3
    np.testing.assert_array_equal(fault.values[:10_000], same.values[:10_000])
    drift, jump = (simulate_process(kind, count=100, start=60, seed=2).values for kind in ("drift", "step"))
    usual = simulate_process(None, count=100, seed=2).values
    np.testing.assert_array_equal(drift[:60], usual[:60])
    np.testing.assert_allclose(drift[-1], jump[-1])
    np.testing.assert_allclose((drift - usual)[79], (jump - usual)[79] / 2)
    noisy = simulate_process("noise", count=20_000, start=10_000, seed=2, size=3).values - same.values
    assert (np.abs(noisy).max(axis=0) > 0).sum() == 3
    assert noisy[10_000:].std(axis=0).max() == pytest.approx(2 * math.sqrt(0.2), rel=0.05)
    assert not noisy[:10_000].any()
    other = simulate_process(count=20_000, seed=1, plant=1)
    assert np.abs(np.corrcoef(other.values.T) - np.corrcoef(run.values.T)).max() > 0.3


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"fault": "leak"}, "fault is 'leak'; allowed are 'step', 'drift', 'noise', 'relation'"),
        ({"start": 961, "fault": "step"}, "start is 961; it must be at most count, 960"),
        ({"variables": 3}, "variables is 3"),
        ({"size": 0}, "size is 0"),
        ({"plant": -1}, "plant is -1"),
    ],
)
def test_bad_processes_say_why(options, text):
    with pytest.raises(ValueError, match=text):
        simulate_process(**options)
