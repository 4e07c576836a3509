"""Let Ctrl-C end a training between two steps, so that its parts agree."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupts:
    """What happens at Ctrl-C: a `KeyboardInterrupt`, at once or a little later.

    Attributes
    ----------
    is_pending : bool
        Whether a `KeyboardInterrupt` waits to be raised.
    """

    def __init__(self) -> None:
        self.is_pending = self._is_delayed = False

    @contextmanager
    def delayed(self) -> Iterator[None]:
        """Delay Ctrl-C to the end of the block. A second one interrupts at once."""
        self._is_delayed = True
        try:
            yield
        finally:
            self._is_delayed = False
        if self.is_pending:
            raise KeyboardInterrupt

    def handle(self, *_: Any) -> None:
        """Handle the signal of Ctrl-C."""
        if self.is_pending or not self._is_delayed:
            raise KeyboardInterrupt
        self.is_pending = True


@contextmanager
def handled_interrupts() -> Iterator[Interrupts]:
    """Handle Ctrl-C within the block, in the main thread, unless the user's program handles it."""
    interrupts = Interrupts()
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupts
        return
    signal.signal(signal.SIGINT, interrupts.handle)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
