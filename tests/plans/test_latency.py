import numpy as np

from ringline.plans.latency import latencies_of


def test_a_frame_that_was_skipped_on_screen_counts_from_its_own_writing() -> None:
    written = np.array([10.0, 11.0, 12.0, 13.0])
    found = latencies_of(written, shown=np.array([0, 2]), moments=np.array([10.1, 12.4]))
    np.testing.assert_allclose(found, [0.1, 1.4, 0.4, np.nan])


def test_an_index_that_comes_late_does_not_make_newer_frames_older() -> None:
    found = latencies_of(np.zeros(3), shown=np.array([2, 1]), moments=np.array([1.0, 5.0]))
    np.testing.assert_allclose(found, [1.0, 1.0, 1.0])


def test_without_a_curve_nothing_is_known() -> None:
    nothing = np.array([], dtype=np.int64)
    found = latencies_of(np.zeros(2), shown=nothing, moments=np.array([]))
    assert np.isnan(found).all()
