"""Tokens of the doors."""

import pytest

from headrace.broker.tokens import TOKEN_LIFE_S, ClientsFileError, Tokens, read_clients


class Clock:
    now_s = 1e9

    def __call__(self) -> float:
        return self.now_s


def test_an_open_broker_gives_everybody_a_token_and_asks_for_none():
    tokens = Tokens(None, Clock())
    assert tokens.is_open
    assert tokens.accepts("")
    assert tokens.accepts(tokens.issue("any", "thing") or "")


def test_a_client_gets_a_token_that_is_good_for_its_time():
    clock = Clock()
    tokens = Tokens({"a.b:ö": "secret"}, clock)
    token = tokens.issue("a.b:ö", "secret")
    assert token is not None
    assert tokens.accepts(token)
    assert Tokens({"a.b:ö": "secret"}, clock).accepts(token)  # after a restart
    assert not Tokens({"a.b:ö": "changed"}, clock).accepts(token)
    assert not Tokens({}, clock).accepts(token)
    clock.now_s += TOKEN_LIFE_S
    assert not tokens.accepts(token)


@pytest.mark.parametrize(("client", "secret"), [("a", "x"), ("b", "s"), ("", ""), ("b", "")])
def test_who_is_no_client_gets_none(client, secret):
    assert Tokens({"a": "s"}, Clock()).issue(client, secret) is None


def test_a_token_that_was_changed_is_no_good():
    tokens = Tokens({"a": "s"}, Clock())
    token = tokens.issue("a", "s") or ""
    name, expiry, seal = token.split(".")
    later = f"{name}.{int(expiry) + 1}.{seal}"
    for bad in ("", "x", "..", "ä.1.2", later, token[:-1], token + "0", f"{name}.-1.{seal}"):
        assert not tokens.accepts(bad)


def test_the_file_of_clients(tmp_path):
    path = tmp_path / "clients"
    path.write_text("# who\n\n a:s:with:colons \nb:t\n")
    assert read_clients(str(path)) == {"a": "s:with:colons", "b": "t"}
    path.write_text("a:s\nhush\n")
    with pytest.raises(ClientsFileError, match="line 2: expected ID:SECRET") as refused:
        read_clients(str(path))
    assert "hush" not in str(refused.value)
    with pytest.raises(ClientsFileError):
        read_clients(str(tmp_path / "none"))
