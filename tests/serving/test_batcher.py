"""The batcher: nothing lost, nothing mixed up, never more held than the queue, everything answered at the end."""

import threading
import time
import weakref

import numpy as np
import pytest

from alexnet.errors import InputError
from alexnet.serving.batcher import Batcher, Full
from alexnet.serving.limits import Limits


def number(value):
    return lambda: np.full((1, 1, 3), value, np.uint8)


class Computing:
    """Gives each picture its own number back; remembers the batches; waits where it is told to."""

    def __init__(self):
        self.batches, self.go = [], threading.Event()
        self.go.set()

    def values(self, pixels):
        self.go.wait(10)
        self.batches.append(len(pixels))
        return [int(each[0, 0, 0]) for each in pixels]

    def negative(self, pixels):
        return [-value for value in self.values(pixels)]


@pytest.fixture
def computing():
    return Computing()


def made(**limits):
    return Batcher(Limits(**{"images": 1, **limits}), threads=2)


def test_each_gets_its_own_answer_from_many_threads(computing):
    batcher, found = made(queue=10_000), {}

    def ask(start):
        for value in range(start, 200, 8):
            how = computing.values if value % 2 else computing.negative
            (answer,) = batcher.submit(how, [number(value)])
            found[value] = answer.result(10)

    threads = [threading.Thread(target=ask, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    batcher.close()
    assert found == {value: value if value % 2 else -value for value in range(200)}
    assert sum(computing.batches) == 200
    assert batcher.held == 0


def test_those_that_wait_are_computed_together_and_no_more_than_a_batch(computing):
    batcher = made(batch=8, queue=100)
    computing.go.clear()
    first = batcher.submit(computing.values, [number(0)])
    time.sleep(0.1)  # it is in the network by now
    others = batcher.submit(computing.values, [number(value) for value in range(1, 21)])
    time.sleep(0.1)
    computing.go.set()
    assert [answer.result(10) for answer in first + others] == list(range(21))
    assert computing.batches == [1, 8, 8, 4]
    batcher.close()


def test_one_waits_for_another_that_is_being_decoded_but_not_long(computing):
    batcher = made(wait=5)

    def slowly():
        time.sleep(0.2)
        return number(2)()

    answers = batcher.submit(computing.values, [number(1), slowly])
    assert [answer.result(10) for answer in answers] == [1, 2]
    assert computing.batches == [2]
    batcher.close()
    impatient = made(wait=0)
    answers = impatient.submit(computing.values, [number(1), slowly])
    assert [answer.result(10) for answer in answers] == [1, 2]
    assert computing.batches == [2, 1, 1]
    impatient.close()


def test_none_waits_longer_than_the_batch_before_took(computing):
    batcher = made(wait=5)
    assert batcher.submit(computing.values, [number(0)])[0].result(10) == 0  # took next to nothing
    gate = threading.Event()

    def late():
        gate.wait(10)
        return number(2)()

    soon, later = batcher.submit(computing.values, [number(1), late])
    assert soon.result(2) == 1  # while the other is still being decoded
    gate.set()
    assert later.result(10) == 2
    assert computing.batches == [1, 1, 1]
    batcher.close()


def test_the_thread_that_computes_begins_as_told():
    begun = []
    batcher = Batcher(Limits(images=1), threads=2, begin=lambda: begun.append(threading.current_thread()))

    def where(pixels):
        return [threading.current_thread()] * len(pixels)

    assert [batcher.submit(where, [number(1)])[0].result(10) for _ in range(2)] == begun * 2
    assert len(begun) == 1
    batcher.close()


def test_one_alone_never_waits(computing):
    batcher = made(wait=60)
    begun = time.monotonic()
    assert batcher.submit(computing.values, [number(1)])[0].result(10) == 1
    assert time.monotonic() - begun < 10
    batcher.close()


def test_a_full_queue_takes_all_or_none_and_is_free_again(computing):
    batcher = made(queue=4)
    computing.go.clear()
    held = batcher.submit(computing.values, [number(value) for value in range(3)])
    with pytest.raises(Full) as full:
        batcher.submit(computing.values, [number(3), number(4)])
    assert full.value.seconds >= 1
    held += batcher.submit(computing.values, [number(3)])
    assert batcher.held == 4
    computing.go.set()
    assert [answer.result(10) for answer in held] == [0, 1, 2, 3]
    assert batcher.submit(computing.values, [number(5)])[0].result(10) == 5
    batcher.close()
    assert batcher.held == 0


def test_what_loading_and_computing_raise_is_the_answer(computing):
    batcher = made()

    def damaged():
        raise ValueError("damaged")

    def fails(pixels):
        raise RuntimeError("no memory")

    bad, good = batcher.submit(computing.values, [damaged, number(1)])
    assert good.result(10) == 1
    with pytest.raises(ValueError, match="damaged"):
        bad.result(10)
    with pytest.raises(RuntimeError, match="no memory"):
        batcher.submit(fails, [number(1)])[0].result(10)
    assert batcher.submit(computing.values, [number(2)])[0].result(10) == 2
    batcher.close()
    assert batcher.held == 0


def test_a_cancelled_one_is_not_computed_and_leaves_its_place(computing):
    batcher = made(queue=3)
    computing.go.clear()
    first = batcher.submit(computing.values, [number(1)])
    time.sleep(0.1)
    given_up, kept = batcher.submit(computing.values, [number(2), number(3)])
    assert given_up.cancel()
    assert batcher.held == 2
    computing.go.set()
    assert (first[0].result(10), kept.result(10)) == (1, 3)
    batcher.close()
    assert computing.batches == [1, 1]
    assert batcher.held == 0


def test_what_is_given_up_does_not_keep_its_file(computing):
    class File:
        def __call__(self):
            return number(1)()

    batcher, go, files = made(), threading.Event(), [File() for _ in range(5)]
    batcher.submit(computing.values, [lambda: go.wait(10) and number(0)()] * 2)  # both decoders are busy
    kept = [weakref.ref(file) for file in files]
    for answer in batcher.submit(computing.values, files):
        assert answer.cancel()
    del files
    assert [file() for file in kept] == [None] * 5
    go.set()
    batcher.close()
    assert sum(computing.batches) == 2


def test_closing_answers_all_that_was_accepted_and_takes_no_more(computing):
    batcher = made(queue=100, batch=4)

    def slowly():
        time.sleep(0.02)
        return number(7)()

    answers = batcher.submit(computing.values, [slowly] * 30)
    batcher.close()
    assert all(answer.done() for answer in answers)
    assert [answer.result() for answer in answers] == [7] * 30
    with pytest.raises(Full):
        batcher.submit(computing.values, [number(1)])


@pytest.mark.parametrize(
    ("limits", "words"), [({"batch": 0}, "batch is 0"), ({"seconds": -1}, "seconds is -1"), ({"queue": 9}, "never be")]
)
def test_limits_that_leave_nothing_are_refused(limits, words):
    with pytest.raises(InputError, match=words):
        Limits(**limits)
