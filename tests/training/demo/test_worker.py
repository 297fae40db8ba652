"""The thread of a demo."""

import asyncio
import threading
import time

import pytest

from training.demo import worker as worker_module
from training.demo.worker import Worker

pytestmark = pytest.mark.backend("torch")  # no backend is used


@pytest.fixture
def worker():
    worker = Worker()
    yield worker
    worker.close()


def test_calls_run_in_their_order_on_one_thread(worker):
    calls = []

    def note(number):
        calls.append((number, threading.current_thread()))
        return number * 10

    async def call_all():
        return await asyncio.gather(*(worker.call(note, number) for number in range(50)))

    assert asyncio.run(call_all()) == [number * 10 for number in range(50)]
    assert [number for number, _ in calls] == [*range(50)]
    (thread,) = {thread for _, thread in calls}
    assert thread is not threading.current_thread()


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3)])
def test_an_error_reaches_its_caller_and_the_thread_goes_on(worker, error):
    def fail():
        raise error

    async def call():
        answer = None
        try:
            await worker.call(fail)
        except BaseException as found:
            answer = found
        return answer, await worker.call(len, "abc")

    assert asyncio.run(call()) == (error, 3)


def test_a_call_that_nobody_waits_for_is_left_out(worker):
    started, end, calls = threading.Event(), threading.Event(), []

    async def call():
        loop = asyncio.get_running_loop()
        first = asyncio.create_task(worker.call(lambda: (started.set(), end.wait(10))))
        await loop.run_in_executor(None, started.wait, 10)
        second = asyncio.create_task(worker.call(calls.append, 2))
        await asyncio.sleep(0)
        first.cancel()
        second.cancel()
        end.set()
        return await worker.call(calls.append, 3)

    asyncio.run(call())
    assert calls == [3]


def test_the_end_does_not_wait_for_a_long_call(monkeypatch):
    monkeypatch.setattr(worker_module, "PATIENCE_SECONDS", 0.05)
    worker, started, end = Worker(), threading.Event(), threading.Event()

    async def call():
        task = asyncio.create_task(worker.call(lambda: (started.set(), end.wait(10))))
        await asyncio.get_running_loop().run_in_executor(None, started.wait, 10)
        task.cancel()

    asyncio.run(call())
    start = time.perf_counter()
    worker.close()
    assert time.perf_counter() - start < 5
    end.set()
