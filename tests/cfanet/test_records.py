from cfanet.records import Comparison, ImageStatus


def test_a_comparison_passes_strictly_below_the_threshold() -> None:
    def compared(similarity: float) -> bool:
        return Comparison("r", "mated", "original", similarity, 60.0, threshold=0.5).passed

    assert compared(0.49)
    assert not compared(0.5)


def test_the_four_statuses_are_the_documented_words() -> None:
    assert {status.value for status in ImageStatus} == {"anonymized", "no_face", "obscured", "quarantined"}
