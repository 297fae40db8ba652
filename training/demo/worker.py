"""The one thread that decodes images and calls models, while a server waits for others."""

import asyncio
import queue
import threading

PATIENCE_SECONDS = 1  # for a computation that is going on when the demo ends


class Worker:
    """Thread that calls functions one after another, in the order in which they came.

    One image at a time is held at its full size, and backends share no state with other threads.
    A thread of `concurrent.futures` would keep the program from ending until a long explanation
    is complete.
    """

    def __init__(self):
        self._calls: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="demo", daemon=True)
        self._thread.start()

    async def call(self, function, *arguments):
        """Return what a function returns, or raise what it raises."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._calls.put((loop, future, function, arguments))
        return await future

    def close(self):
        """End the thread after the calls that were made, or with the program."""
        self._calls.put(None)
        self._thread.join(PATIENCE_SECONDS)

    def _work(self):
        while (call := self._calls.get()) is not None:
            loop, future, function, arguments = call
            if future.cancelled():  # nobody waits for it any more
                continue
            try:
                answer, set_answer = function(*arguments), future.set_result
            except StopIteration as error:  # which a future does not take
                answer, set_answer = RuntimeError(repr(error)), future.set_exception
            except BaseException as error:  # also what a backend raises to end the program
                answer, set_answer = error, future.set_exception
            try:
                loop.call_soon_threadsafe(_answer, future, set_answer, answer)
            except RuntimeError:  # the server has ended
                return


def _answer(future, set_answer, answer):
    if not future.cancelled():
        set_answer(answer)
