import contextlib
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.groups.topic_pattern import LENGTH_MAX, PatternError, TopicPattern

NAMES = ["", "a", "b", "ab", "aab", "orders", "orders-eu", "orders.us_1", "A", "9", "a-b"]


@pytest.mark.parametrize(
    "expression",
    [
        "orders.*", "^orders.*$", "orders(-eu|[.]us_\\d)?", "a+b", "(a|b)*", "a{2}b", "a{1,2}b",
        "a{0,}b?", "[^a]", "[a-z]+", r"\w+", r"orders\.us_1", "(?:a|)b", "(?P<x>a)b", "(?i)a", "",
        "(?i:a)", "a*?b", "|a", "((a))", "[]a]", r"[\w-]+", "a|b|ab", r"\A\w\Z",
    ],
)  # fmt: skip
def test_matches_what_python_matches_as_a_whole(expression: str) -> None:
    pattern, oracle = TopicPattern(expression), re.compile(expression, re.ASCII)
    for name in NAMES:
        assert pattern.matches(name) == bool(oracle.fullmatch(name)), name


EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "b", "[ab]", "[^a]", ".", r"\d", "ab"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "+?"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
    ),
    max_leaves=6,
)


@given(EXPRESSIONS, st.text("ab1", max_size=5))
def test_any_expression_means_what_it_means_to_python(expression: str, name: str) -> None:
    expected = re.fullmatch(expression, name, re.ASCII)
    assert TopicPattern(expression).matches(name) == bool(expected)


@pytest.mark.parametrize(
    "expression",
    ["(", ")", "(a", "[", "[a", "*", "a**", "a{2}{2}", r"(a)\1", "(?=a)", "(?<!a)b", "(?>a)", "a++",
     "\\", "a^b", "a$b", r"\bfoo", "a{3,2}", "[z-a]", "((a{99}){99}){99}", "(" * 60 + ")" * 60,
     "a" * (LENGTH_MAX + 1)],
)  # fmt: skip
def test_what_cannot_be_matched_in_linear_time_or_makes_no_sense_is_refused(expression) -> None:
    with pytest.raises(PatternError):
        TopicPattern(expression)


@pytest.mark.parametrize("expression", ["(a+)+b", "(a|a)*b", "(a|aa)+b", "a*a*a*a*a*a*b"])
def test_no_expression_is_slow(expression: str) -> None:
    started = time.perf_counter()
    assert not TopicPattern(expression).matches("a" * 249)
    assert time.perf_counter() - started < 0.5


def test_posix_classes_mean_what_they_mean_to_re2() -> None:
    assert TopicPattern("[[:alpha:]]+[[:digit:]]").matches("abc1")
    assert not TopicPattern("[[:alpha:]]+").matches("abc1")


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "expression",
    [
        "((((){9999}){9999}){9999}){9999}",
        "((((a{0}){9999}){9999}){9999}){9999}",
        "(" * 40 + "){9999}" * 40,
        "((((){9999})*)+){9999}",
    ],
)
def test_nothing_may_be_repeated_for_ever(expression: str) -> None:
    with contextlib.suppress(PatternError):
        assert TopicPattern(expression).matches("")
