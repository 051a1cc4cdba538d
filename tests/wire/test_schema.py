"""The codec itself, on messages made for the purpose; real ones are held against kio elsewhere."""

import tracemalloc
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.wire import schema
from headrace.wire.apis import ApiKey
from headrace.wire.errors import MalformedError
from headrace.wire.primitives import ENTRIES_MAX, Body
from headrace.wire.schema import (
    array,
    blob,
    boolean,
    decode,
    encode,
    float64,
    int8,
    int16,
    int32,
    int64,
    message,
    nested,
    string,
    struct,
    uint16,
    uuid,
)
from headrace.wire.varint import write_uvarint


@struct
class Inner:
    name: str = string()
    later: int = int32(since=2, default=7, ignorable=True)
    marks: list[int] = array(int64)


# Flexible from version 3 on, as every message of this API.
@message(ApiKey.API_VERSIONS, versions=(0, 4))
class Sample:
    flag: bool = boolean()
    tiny: int = int8()
    small: int = int16()
    port: int = uint16()
    large: int = int64(default=-1)
    ratio: float = float64()
    text: str = string()
    maybe: str | None = string(nullable=1, default=None)
    raw: bytes = blob()
    maybe_raw: bytes | None = blob(nullable=1, default=None)
    identity: UUID | None = uuid(since=1, ignorable=True)
    inner: Inner = nested(Inner)
    maybe_inner: Inner | None = nested(Inner, nullable=0)
    inners: list[Inner] = array(Inner)
    maybe_inners: list[Inner] | None = array(Inner, since=1, nullable=1, ignorable=True)
    words: list[str] = array(string)
    precious: str = string(since=2)
    gone: int = int32(until=1, default=5)
    tagged_number: int = int32(since=3, tag=1, default=9, ignorable=True)
    tagged_words: list[str] = array(string, since=3, tag=0, ignorable=True)


@message(ApiKey.API_VERSIONS, versions=(0, 4))
class Words:
    words: list[str] = array(string)


@message(ApiKey.API_VERSIONS, versions=(0, 4))
class OneString:
    text: str = string()


@message(ApiKey.API_VERSIONS, versions=(0, 4))
class Nothing:
    tagged: str = string(since=3, tag=3, ignorable=True)


names = st.text(max_size=20)
inners = st.builds(
    Inner, name=names, later=st.just(7), marks=st.lists(st.integers(-(2**63), 2**63 - 1))
)
FULL = Sample(
    flag=True,
    text="né",
    maybe="x",
    raw=b"\0\1",
    maybe_raw=b"",
    identity=UUID(int=5),
    inner=Inner("i", 8, [1]),
    maybe_inner=Inner("m", 8, []),
    inners=[Inner("a", 1, [2, 3])],
    maybe_inners=[],
    words=["p", "q"],
    precious="p",
    gone=5,
    tagged_number=3,
    tagged_words=["t"],
)


@given(
    st.builds(
        Sample,
        flag=st.booleans(),
        tiny=st.integers(-128, 127),
        port=st.integers(0, 65535),
        ratio=st.floats(allow_nan=False),
        text=names,
        raw=st.binary(max_size=300),
        inner=inners,
        maybe_inner=st.none() | inners,
        inners=st.lists(inners, max_size=3),
        words=st.lists(names, max_size=200),
        maybe=names,
        maybe_raw=st.binary(max_size=20),
    ),
    st.sampled_from(schema.versions_of(Sample)),
)
def test_what_is_encoded_comes_back(sample: Sample, version: int) -> None:
    assert decode(Sample, version, encode(sample, version)) == sample


def test_every_kind_of_field_comes_back_in_the_newest_version() -> None:
    encoded = encode(FULL, 4)
    assert decode(Sample, 4, encoded) == FULL
    assert decode(Sample, 4, memoryview(b"ab" + encoded), 2) == FULL


def test_bytes_are_those_of_the_protocol() -> None:
    assert encode(Words(["a", "bc"]), 0) == b"\0\0\0\2\0\1a\0\2bc"
    assert encode(Words(["a", "bc"]), 3) == b"\3\2a\3bc\0"
    assert encode(Nothing("x"), 3) == b"\1\3\2\2x"
    assert encode(Nothing(), 3) == b"\0"
    assert encode(Nothing(), 0) == b""


def test_a_field_the_version_lacks_gets_its_default() -> None:
    old = Sample(maybe="", maybe_raw=b"", gone=6)
    assert decode(Sample, 1, encode(old, 1)).gone == 6
    assert decode(Sample, 2, encode(Sample(), 2)).gone == 5
    assert decode(Sample, 0, encode(old, 0)).identity is None


def test_defaults_are_not_shared_between_messages() -> None:
    first, second = decode(Nothing, 0, b""), Sample()
    second.inners.append(Inner())
    second.inner.name = "changed"
    assert Sample().inners == []
    assert Sample().inner == Inner()
    assert first == Nothing()
    old = encode(Sample(maybe="", maybe_raw=b""), 0)
    decode(Sample, 0, old).tagged_words.append("x")
    assert decode(Sample, 0, old).tagged_words == []


def test_messages_compare_and_show_themselves_by_value() -> None:
    assert Words(["a"]) == Words(["a"])
    assert Words(["a"]) != Words(["b"])
    assert Words() != OneString()
    assert repr(Words(["a"])) == "Words(words=['a'])"
    with pytest.raises(TypeError, match="unhashable"):
        hash(Words())
    with pytest.raises(AttributeError):
        Words().word = []  # type: ignore[attr-defined]


def test_an_ignorable_value_is_dropped_and_any_other_is_refused() -> None:
    ignorable = Sample(maybe="", maybe_raw=b"", identity=UUID(int=1), tagged_number=1)
    assert decode(Sample, 0, encode(ignorable, 0)).tagged_number == 9
    with pytest.raises(ValueError, match="precious"):
        encode(Sample(maybe="", maybe_raw=b"", precious="x"), 1)
    with pytest.raises(ValueError, match="gone"):
        encode(Sample(gone=6), 2)


@pytest.mark.parametrize(
    "wrong",
    [
        Sample(maybe=None, maybe_raw=b""),
        Sample(maybe="", maybe_raw=None),
        Sample(maybe="", maybe_raw=b"", tiny=128),
        Sample(maybe="", maybe_raw=b"", text=5),  # type: ignore[arg-type]
        Sample(maybe="", maybe_raw=b"", text="x" * 32768),
        Sample(maybe="", maybe_raw=b"", inners=None),  # type: ignore[arg-type]
    ],
    ids=["null string", "null bytes", "range", "type", "long string", "null list"],
)
def test_what_cannot_be_written_faithfully_is_a_value_error(wrong: Sample) -> None:
    with pytest.raises(ValueError, match="Sample v0 cannot be encoded"):
        encode(wrong, 0)


def test_a_version_that_is_not_described_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="not for v5"):
        encode(Nothing(), 5)
    with pytest.raises(ValueError, match="not for v-1"):
        decode(Nothing, -1, b"")


def test_unknown_tagged_fields_are_skipped() -> None:
    data = b"\3" + b"\0\1z" + b"\3\2\2o" + b"\x7f\0"
    assert decode(Nothing, 3, data) == Nothing("o")


@pytest.mark.parametrize(
    ("cls", "version", "data"),
    [
        (OneString, 0, b""),
        (OneString, 0, b"\0"),
        (OneString, 0, b"\0\2a"),
        (OneString, 0, b"\xff\xff"),
        (OneString, 0, b"\xff\xfe"),
        (OneString, 0, b"\0\1\xff"),
        (OneString, 0, b"\0\1ab"),
        (OneString, 3, b"\0\0"),
        (OneString, 3, b"\3a\0"),
        (OneString, 3, b"\2a"),
        (OneString, 3, b"\xff\xff\xff\xff\xff\xff"),
        (OneString, 3, b"\x81\x80\x02" + b"a" * 32768 + b"\0"),
        (Words, 0, b"\xff\xff\xff\xff"),
        (Words, 0, b"\x7f\xff\xff\xff"),
        (Words, 0, b"\0\0\0\2\0\0\0"),
        (Words, 3, b"\0\0"),
        (Words, 3, b"\xff\xff\xff\xff\x0f\0"),
        (Nothing, 3, b"\1\3\3\2o"),
        (Nothing, 3, b"\1\3\1\2o"),
        (Nothing, 3, b"\1\3\3\2ox"),
        (Nothing, 3, b"\1\4\5x"),
        (Nothing, 3, b"\xff\xff\xff\xff\x0f"),
    ],
)
def test_nonsense_is_malformed(cls: type, version: int, data: bytes) -> None:
    with pytest.raises(MalformedError):
        decode(cls, version, data)


def test_the_error_names_the_message_and_its_version() -> None:
    with pytest.raises(MalformedError, match="OneString v3: a string says it has length 96"):
        decode(OneString, 3, b"aaa")


def test_a_nullable_struct_needs_a_known_mark() -> None:
    encoded = bytearray(encode(Sample(), 4))
    mark = encoded.rindex(0xFF)
    encoded[mark] = 2
    with pytest.raises(MalformedError, match="nullable struct"):
        decode(Sample, 4, bytes(encoded))


def test_a_count_takes_no_memory_before_it_is_believed() -> None:
    tracemalloc.start()
    try:
        for version, data in ((0, b"\x7f\xff\xff\xff"), (3, b"\xff\xff\xff\xff\x0f")):
            with pytest.raises(MalformedError):
                decode(Words, version, data + bytes(1000))
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


def test_a_message_over_the_limit_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MESSAGE_BYTES_MAX", 10)
    with pytest.raises(MalformedError, match="11 bytes"):
        decode(Words, 0, bytes(11))


def test_the_entries_of_all_lists_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Body, "entries_left", 10)
    full = Sample(
        inners=[Inner(marks=[1, 2]), Inner(marks=[3])], words=["a"] * 5, maybe="", maybe_raw=b""
    )
    assert len(decode(Sample, 4, encode(full, 4)).words) == 5
    full.words.append("one too many")
    with pytest.raises(MalformedError, match=f"more than {ENTRIES_MAX} list entries"):
        decode(Sample, 4, encode(full, 4))


def test_tagged_fields_count_as_entries() -> None:
    count = bytearray()
    write_uvarint(count, ENTRIES_MAX + 1)
    with pytest.raises(MalformedError, match=f"more than {ENTRIES_MAX}"):
        decode(OneString, 3, b"\2a" + count + b"\2\0" * (ENTRIES_MAX + 1))


@given(st.binary(max_size=200), st.sampled_from(schema.versions_of(Sample)))
def test_random_bytes_are_malformed_and_nothing_else(data: bytes, version: int) -> None:
    try:
        decoded = decode(Sample, version, data)
    except MalformedError:
        return
    assert decode(Sample, version, encode(decoded, version)) == decoded


@given(st.data())
def test_damaged_bytes_decode_or_are_malformed(data: st.DataObject) -> None:
    version = data.draw(st.sampled_from(schema.versions_of(Sample)))
    whole = Sample(maybe="", maybe_raw=b"", inners=[Inner("a", 7, [1])], words=["w"])
    damaged = bytearray(encode(whole, version))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = damaged[: data.draw(st.integers(0, len(damaged)))]
    for broken in (damaged, cut):
        try:
            decode(Sample, version, bytes(broken))
        except MalformedError:
            continue
