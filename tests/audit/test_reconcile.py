from audit.reconcile import reconcile


def test_every_sample_once_holds() -> None:
    found = reconcile(["a", "b", "c"], ["a", "c"], ["b"])
    assert found.holds
    assert (found.n_source, found.n_output, found.n_quarantined) == (3, 2, 1)


def test_lost_repeated_and_unexpected_samples_are_named() -> None:
    found = reconcile(["a", "b", "c", "d"], ["a", "b", "x", "d"], ["b"])
    assert not found.holds
    assert (found.lost, found.repeated, found.unexpected) == (("c",), ("b",), ("x",))


def test_a_sample_twice_in_the_output_is_repeated() -> None:
    assert reconcile(["a"], ["a", "a"], []).repeated == ("a",)
