"""How many answers may be under way, by number and by how late the event loop is."""

from chatbot.admission import BEHIND_S, FEW, LATE_S, Admission


def test_no_more_than_the_most_are_let_in_and_each_refusal_is_counted() -> None:
    admission = Admission(2)
    assert [admission.enter() for _ in range(4)] == [True, True, False, False]
    assert (admission.under_way, admission.admitted, admission.refused) == (2, 2, 2)
    admission.leave()
    assert admission.enter()


def test_what_takes_the_place_of_another_is_let_in() -> None:
    admission = Admission(1)
    assert admission.enter()
    assert admission.enter(anyway=True)
    assert admission.refused == 0


def test_a_process_that_is_late_lets_nobody_else_in_before_its_number_is_full() -> None:
    admission = Admission(10 * FEW)
    assert all(admission.enter() for _ in range(FEW))
    assert admission.enter(LATE_S / 2)
    assert not admission.enter(LATE_S * 2)
    assert not admission.enter(0.0, BEHIND_S * 2)
    assert admission.enter(0.0, BEHIND_S / 2)
    assert admission.enter(0.0)


def test_lateness_with_few_answers_is_not_their_work() -> None:
    assert Admission(100).enter(10.0, 10.0)
