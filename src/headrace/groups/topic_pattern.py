r"""Regular expressions over topic names that cannot be made slow.

KIP-848 gives the expressions of subscriptions to the broker, in the language of RE2: what can be
matched in time linear in the name. Python's `re` backtracks, so a stranger's `(a+)+b` could hold
the broker for years. Here an expression becomes an automaton without backtracking (Thompson's), of
at most STATES_MAX states; one step of the name costs at most so many steps of it. It must match the
whole name, as in Kafka; `^` and `$` are allowed where that changes nothing.

    expression = branch { "|" branch }          branch = { atom [ "*" | "+" | "?" | "{m,n}" ] }
    atom = character | class | escape | "." | "(" ["?:" | "?P<name>" | "?i:"] expression ")"

Back-references, looking around and possessive or atomic groups are refused, as RE2 refuses them.
A single class or escape (`[^a-z]`, `\d`) is given to `re` for the characters that a topic name can
have. What must not enter: subscriptions.
"""

import re
import string
import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

__all__ = ["LENGTH_MAX", "STATES_MAX", "PatternError", "TopicPattern", "compiled"]

LENGTH_MAX: Final = 4096
"""Characters of an expression; clients join many of them with `|`."""

STATES_MAX: Final = 1000
"""Of the automaton; counted repetitions (`a{50}`) multiply them."""

MOVES_KEPT_MAX: Final = 2000
"""Moves remembered of one automaton."""

DEPTH_MAX: Final = 50
"""Groups inside each other."""

CACHED_MAX: Final = 256
"""Expressions, and classes, kept compiled."""

_ALPHABET: Final = string.ascii_letters + string.digits + "._-"
_CLASS: Final = re.compile(r"\[\^?\]?(?:\[:\^?[a-z]+:\]|\\.|[^\]\\])*\]", re.DOTALL)
_ESCAPES: Final = frozenset("dDwWsS")
_COUNT: Final = re.compile(r"\{(\d{1,4})(,(\d{0,4}))?\}")
_GROUP: Final = re.compile(r"\((?:\?(?:P?<[A-Za-z_]\w*>|(?P<flags>[ims]*):))?")

_EMPTY: Final = frozenset[str]()


class PatternError(ValueError):
    """The expression is no good: why, for a person."""


class TopicPattern:
    """A compiled expression. Raises PatternError."""

    def __init__(self, expression: str) -> None:
        if len(expression) > LENGTH_MAX:
            raise PatternError(f"longer than {LENGTH_MAX} characters")
        self.expression = expression
        self._steps: list[tuple[frozenset[str], tuple[int, ...]]] = []
        """(characters, next states); without characters: free moves to the next states."""
        self._moves: dict[tuple[frozenset[int], str], frozenset[int]] = {}
        tree = _Parser(expression).parse()
        self._end = self._add(_EMPTY, ())
        self._start = self._build(tree, self._end)

    def matches(self, name: str) -> bool:
        """Whether the whole name matches."""
        states = self._closed((self._start,))
        for character in name:
            known = self._moves.get((states, character))
            states = self._move(states, character) if known is None else known
            if not states:
                return False
        return self._end in states

    def _move(self, states: frozenset[int], character: str) -> frozenset[int]:
        """Where `character` leads; remembered, for names are alike."""
        reached = self._closed(
            following
            for state in states
            for following in self._steps[state][1]
            if character in self._steps[state][0]
        )
        if len(self._moves) >= MOVES_KEPT_MAX:
            self._moves.clear()
        self._moves[states, character] = reached
        return reached

    def _closed(self, states: Iterable[int]) -> frozenset[int]:
        """These states and all that are reached by free moves."""
        found: set[int] = set()
        todo = list(states)
        while todo:
            state = todo.pop()
            if state not in found:
                found.add(state)
                characters, following = self._steps[state]
                if not characters:
                    todo += following
        return frozenset(found)

    def _add(self, characters: frozenset[str], following: tuple[int, ...]) -> int:
        if len(self._steps) >= STATES_MAX:
            raise PatternError(f"it needs more than {STATES_MAX} states")
        self._steps.append((characters, following))
        return len(self._steps) - 1

    def _build(self, node: "_Node", after: int) -> int:
        """The state at which `node` begins, if `after` follows it."""
        if isinstance(node, frozenset):
            # A class of which no topic name has a character leads nowhere.
            return self._add(node, (after,) if node else ())
        kind, parts = node[0], node[1]
        if kind == "sequence":
            for part in reversed(parts):
                after = self._build(part, after)
            return after
        if kind == "choice":
            return self._add(_EMPTY, tuple(self._build(part, after) for part in parts))
        _, _, least, most = node  # type: ignore[misc]
        return self._build_repeat(parts[0], least, most, after)

    def _build_repeat(self, part: "_Node", least: int, most: int | None, after: int) -> int:
        if most is None:
            loop = self._add(_EMPTY, ())
            self._steps[loop] = (_EMPTY, (self._build(part, loop), after))
            after = loop
        else:
            end = after
            for _ in range(most - least):
                after = self._add(_EMPTY, (self._build(part, after), end))
        for _ in range(least):
            after = self._build(part, after)
        return after


_Node = frozenset[str] | tuple[str, list["_Node"]] | tuple[str, list["_Node"], int, int | None]

_NOTHING: Final[_Node] = ("sequence", [])
"""Left out of sequences, and not repeated: else a few of `(){9999}` inside each other would take
for ever, without one state that counts."""


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._flags = re.NOFLAG
        if text.startswith("(?i)"):
            self._flags, self._at = re.IGNORECASE, 4

    def parse(self) -> _Node:
        tree = self._choice()
        if self._at < len(self._text):
            raise PatternError(f"unbalanced parenthesis at position {self._at}")
        return tree

    def _choice(self) -> _Node:
        branches = [self._sequence()]
        while self._text.startswith("|", self._at):
            self._at += 1
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else ("choice", branches)

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        text = self._text
        while self._at < len(text) and text[self._at] not in "|)":
            character = text[self._at]
            if character == "^" or text.startswith("\\A", self._at):
                if parts:
                    raise PatternError(f"'^' inside, at position {self._at}")
                self._at += 1 if character == "^" else 2
            elif character == "$" or text.startswith(("\\z", "\\Z"), self._at):
                self._at += 1 if character == "$" else 2
                if self._at < len(text) and text[self._at] not in "|)$":
                    raise PatternError(f"'$' inside, before position {self._at}")
            else:
                part = self._repeated(self._atom())
                if part != _NOTHING:
                    parts.append(part)
        return ("sequence", parts)

    def _repeated(self, atom: _Node) -> _Node:
        bounds = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        text = self._text
        least: int
        most: int | None
        if self._at >= len(text):
            return atom
        if text[self._at] in bounds:
            least, most = bounds[text[self._at]]
            self._at += 1
        elif counted := _COUNT.match(text, self._at):
            least = int(counted[1])
            most = least if counted[2] is None else int(counted[3]) if counted[3] else None
            if most is not None and most < least:
                raise PatternError(f"{counted[0]} counts down")
            self._at = counted.end()
        else:
            return atom
        if text.startswith("?", self._at):
            self._at += 1  # lazy: what is matched as a whole does not depend on it
        if self._at < len(text) and (text[self._at] in "*+?" or _COUNT.match(text, self._at)):
            raise PatternError(f"multiple repeat at position {self._at}")
        if most == 0 or atom == _NOTHING:
            return _NOTHING
        return ("repeat", [atom], least, most)

    def _atom(self) -> _Node:
        text, at = self._text, self._at
        character = text[at]
        if character in "*+?":
            raise PatternError(f"nothing to repeat at position {at}")
        if character == "(":
            return self._group()
        if character == "[":
            found = _CLASS.match(text, at)
            if found is None:
                raise PatternError(f"class without an end at position {at}")
            self._at = found.end()
            return self._characters(found[0])
        if character == "\\":
            escaped = text[at + 1 : at + 2]
            if not escaped:
                raise PatternError("bad escape at the end")
            if escaped.isalnum() and escaped not in _ESCAPES:
                raise PatternError(f"\\{escaped} is not supported")
            self._at += 2
            return self._characters(text[at : at + 2])
        self._at += 1
        return self._characters("." if character == "." else re.escape(character))

    def _group(self) -> _Node:
        opened = _GROUP.match(self._text, self._at)
        assert opened is not None  # noqa: S101 - the text has a parenthesis here
        if self._text.startswith("?", opened.end()):
            raise PatternError(f"unsupported group at position {self._at}")
        flags, self._depth = self._flags, self._depth + 1
        if self._depth > DEPTH_MAX:
            raise PatternError(f"groups are nested deeper than {DEPTH_MAX}")
        if "i" in (opened["flags"] or ""):
            self._flags |= re.IGNORECASE
        self._at = opened.end()
        inside = self._choice()
        if not self._text.startswith(")", self._at):
            raise PatternError("missing )")
        self._at += 1
        self._flags, self._depth = flags, self._depth - 1
        return inside

    def _characters(self, atom: str) -> frozenset[str]:
        """Of a topic name's characters those that one class, escape or character stands for."""
        return _characters(_without_posix(atom), int(self._flags))


_POSIX: Final = {
    "[:alpha:]": "a-zA-Z",
    "[:digit:]": "0-9",
    "[:alnum:]": "a-zA-Z0-9",
    "[:lower:]": "a-z",
    "[:upper:]": "A-Z",
    "[:word:]": r"\w",
    "[:punct:]": r"._\-",
    "[:xdigit:]": "0-9a-fA-F",
}


def _without_posix(atom: str) -> str:
    if "[:" in atom:
        for name, characters in _POSIX.items():
            atom = atom.replace(name, characters)
    return atom


@lru_cache(CACHED_MAX)
def _characters(atom: str, flags: int) -> frozenset[str]:
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # "[[a]": a set
            one = re.compile(atom, flags | re.ASCII)
    except re.error as error:
        raise PatternError(f"{atom}: {error}") from error
    return frozenset(character for character in _ALPHABET if one.fullmatch(character))


@lru_cache(CACHED_MAX)
def compiled(expression: str) -> TopicPattern:
    """Raises PatternError."""
    return TopicPattern(expression)
