import pytest
from sklearn.base import clone

from skrl.policies import ConstantSchedule, ExponentialSchedule, LinearSchedule, Schedule
from skrl.policies.schedules import evaluate


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (ConstantSchedule(0.3), {0.0: 0.3, 0.5: 0.3, 1.0: 0.3}),
        (LinearSchedule(1.0, 0.0), {0.0: 1.0, 0.25: 0.75, 0.5: 0.5, 1.0: 0.0}),
        (LinearSchedule(1.0, 0.5, 0.25), {0.0: 1.0, 0.125: 0.75, 0.25: 0.5, 0.9: 0.5, 1.0: 0.5}),
        (LinearSchedule(0.0, 4.0, 0.5), {0.0: 0.0, 0.25: 2.0, 0.5: 4.0, 1.0: 4.0}),
        (ExponentialSchedule(1.0, 0.0625), {0.0: 1.0, 0.25: 0.5, 0.5: 0.25, 1.0: 0.0625}),
        (ExponentialSchedule(4.0, 1.0, 0.5), {0.0: 4.0, 0.25: 2.0, 0.5: 1.0, 0.75: 1.0, 1.0: 1.0}),
        (ExponentialSchedule(0.25, 4.0), {0.0: 0.25, 0.5: 1.0, 1.0: 4.0}),
    ],
)
def test_exact_points(schedule, expected):
    assert {progress: schedule(progress) for progress in expected} == expected


@pytest.mark.parametrize("Decay", [LinearSchedule, ExponentialSchedule])
def test_the_end_is_exactly_the_end(Decay):
    assert Decay(1.0, 0.05, fraction=0.3)(0.3) == 0.05


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.5, float("nan")])
@pytest.mark.parametrize("Decay", [LinearSchedule, ExponentialSchedule])
def test_a_fraction_out_of_range(Decay, fraction):
    with pytest.raises(ValueError, match=r"fraction must be in \(0, 1\], got"):
        Decay(1.0, 0.1, fraction)(0.5)


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)])
def test_an_exponential_schedule_needs_positive_ends(start, end):
    with pytest.raises(ValueError, match=rf"positive, got start={start} and end={end}"):
        ExponentialSchedule(start, end)(0.5)


@pytest.mark.parametrize(
    ("setting", "value"), [(0.25, 0.25), (1, 1.0), (LinearSchedule(1.0, 0.0), 0.75)]
)
def test_evaluate_takes_numbers_and_schedules(setting, value):
    result = evaluate("epsilon", setting, 0.25)
    assert type(result) is float
    assert result == value


@pytest.mark.parametrize("setting", ["0.1", None, True, [0.1], LinearSchedule])
def test_evaluate_takes_nothing_else(setting):
    with pytest.raises(TypeError, match=r"epsilon must be a number or a Schedule.*got"):
        evaluate("epsilon", setting, 0.25)


def test_a_custom_schedule():
    class Stairs(Schedule):
        def __call__(self, progress):
            return 1.0 if progress < 0.5 else 0.5

    assert [evaluate("epsilon", Stairs(), progress) for progress in (0.0, 0.5)] == [1.0, 0.5]


@pytest.mark.parametrize(
    "schedule",
    [ConstantSchedule(0.1), LinearSchedule(1.0, 0.1, 0.5), ExponentialSchedule(1.0, 0.1, 0.5)],
)
def test_clone(schedule):
    copy = clone(schedule)
    assert copy is not schedule
    assert copy.get_params() == schedule.get_params()
    assert repr(copy) == repr(schedule)
