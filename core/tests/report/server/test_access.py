"""Who is let in: the token and nothing like it, and names of this machine alone."""

from __future__ import annotations

import pytest

from anydet.report.server.access import COOKIE, Access, Invitation, is_own_host


def test_no_two_servers_have_a_token_or_a_cookie_in_common():
    one, other = Access(), Access()
    assert one.token != other.token
    assert len(one.token) >= 43
    assert one.path != other.path
    assert len(one.path) >= 34
    assert not one.admits(f"{COOKIE}={other.token}")
    assert one.admits(f"a=b; {COOKIE}={one.token}; c=d")


def test_what_is_nearly_the_token_is_not():
    access = Access()
    assert access.knows(access.token)
    for wrong in ("", access.token[:-1], f"{access.token}x", access.token.swapcase(), "\udcff", "é" * 43):
        assert not access.knows(wrong)
        assert not access.admits(f"{COOKIE}={wrong}")
    assert not access.admits(f"{COOKIE} {access.token}")
    assert not access.admits("")


def test_an_invitation_is_taken_once():
    invitation = Invitation()
    token = invitation.token
    assert not invitation.take("")
    assert not invitation.take("x")
    assert invitation.take(token)
    assert not invitation.take(token)
    assert not invitation.take("")


def test_the_cookie_is_hidden_from_scripts_other_sites_and_servers_on_other_ports():
    access = Access()
    words = access.set_cookie().split("; ")
    assert {"HttpOnly", "SameSite=Strict", f"Path={access.path}"} < set(words)
    assert not any(word.startswith(("Domain", "Max-Age", "Expires")) for word in words)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:1", "LocalHost"])
def test_this_machine_is_known_by_its_names_at_any_port(host):
    assert is_own_host([host])


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [""],
        ["evil.example"],
        ["127.0.0.1.evil.example"],
        ["evil.example:8000"],
        ["127.0.0.1@evil.example"],
        ["127.0.0.1:8000:1"],
        ["127.0.0.1 evil.example"],
        ["127.0.0.2"],
        ["0.0.0.0"],
        ["127.0.0.1", "evil.example"],
        ["127.0.0.1", "127.0.0.1"],
    ],
)
def test_other_names_are_not_this_machine(hosts):
    assert not is_own_host(hosts)
