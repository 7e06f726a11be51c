"""Which entries the log has, by index and term: enough to say what follows, conflicts, or may go. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable


class Outline:
    """The log behind (`base`, `base_term`) up to `last`: terms never fall, and all of one term lie side by side.

    `base_term` is -1 where nobody remembers the term of the entry at `base`.
    """

    def __init__(self, base: int = 0, base_term: int = 0) -> None:
        self._starts: list[int] = []
        self._terms: list[int] = []
        self.reset(base, base_term)

    def reset(self, base: int, base_term: int) -> None:
        """Hold nothing behind `base`."""
        self.base, self.base_term, self.last = base, base_term, base
        self._starts.clear()
        self._terms.clear()

    def term_at(self, index: int) -> int | None:
        """The term of an entry, or of the base; None where it isn't known."""
        if index == self.base:
            return None if self.base_term < 0 else self.base_term
        if not self.base < index <= self.last:
            return None
        return self._terms[bisect_right(self._starts, index) - 1]

    @property
    def last_term(self) -> int:
        """The term of the last entry, or of the base; -1 where it isn't known."""
        return self._terms[-1] if self._terms else self.base_term

    def add(self, index: int, term: int) -> str:
        """Put an entry at `index`, and drop what was there and behind. Returns why that can't be, or ""."""
        if index > self.last + 1:
            return f"entry {index} follows entry {self.last}"
        if index <= self.last:
            self._cut(index)
        if term < self.last_term:
            return f"entry {index} of term {term} follows one of term {self.last_term}"
        if not self._terms or self._terms[-1] != term:
            self._starts.append(index)
            self._terms.append(term)
        self.last = index
        return ""

    def add_all(self, entries: Iterable[tuple[int, int]]) -> str:
        """Add entries of ascending index. Returns why that can't be, or ""; some may have been added then."""
        for index, term in entries:
            if problem := self.add(index, term):
                return problem
        return ""

    def copy(self) -> Outline:
        """Another one that is equal."""
        copied = Outline(self.base, self.base_term)
        copied.last, copied._starts, copied._terms = self.last, self._starts.copy(), self._terms.copy()
        return copied

    def forget(self, index: int) -> None:
        """Make `index`, which is in the log, the base: nothing up to it is asked for any more."""
        if index <= self.base:
            return
        term = self.term_at(index)
        assert term is not None
        kept = bisect_right(self._starts, index)
        starts, terms = self._starts[kept:], self._terms[kept:]
        if index < self.last and (not starts or starts[0] > index + 1):
            starts.insert(0, index + 1)
            terms.insert(0, term)
        self._starts, self._terms, self.base, self.base_term = starts, terms, index, term

    def _cut(self, index: int) -> None:
        """Drop the entry at `index` and all behind it."""
        if index <= self.base:
            self.reset(index - 1, -1)
            return
        while self._starts and self._starts[-1] >= index:
            self._starts.pop()
            self._terms.pop()
        self.last = index - 1
