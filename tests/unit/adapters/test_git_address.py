"""Addresses of remotes, what opens them, and what git's words mean."""

from __future__ import annotations

import shlex

import pytest

from reconciler.adapters.git.address import configuration_for, parse_address, talking
from reconciler.adapters.git.command import Ended
from reconciler.adapters.git.faults import remote_fault, said
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.sources import Access


@pytest.mark.parametrize(
    ("text", "scheme", "url"),
    [
        ("https://example.org/a/b.git", "https", "https://example.org/a/b.git"),
        ("https://ada@example.org:8443/a/b.git", "https", "https://example.org:8443/a/b.git"),
        ("http://[::1]:80/x", "http", "http://[::1]:80/x"),
        ("ssh://git@example.org:22/a/b", "ssh", "ssh://git@example.org:22/a/b"),
        ("git@example.org:a/b.git", "ssh", "ssh://git@example.org/a/b.git"),
        ("example.org:/a/b.git", "ssh", "ssh://example.org/a/b.git"),
        ("/srv/git/x.git", "file", "file:///srv/git/x.git"),
        ("file:///srv/git/x.git", "file", "file:///srv/git/x.git"),
        ("git://example.org/x", "git", "git://example.org/x"),
    ],
)
def test_addresses(text, scheme, url):
    found = parse_address(text)
    assert (found.scheme, found.url) == (scheme, url)


def test_a_token_is_for_one_server_and_only_in_the_environment():
    address = parse_address("https://example.org:8443/a.git")
    variables = talking(address, Access(token="hunter2"))
    assert variables["SWARMCTL_GIT_PASSWORD"] == "hunter2"
    assert variables["GIT_ALLOW_PROTOCOL"] == "https"
    configuration = configuration_for(address)
    assert '[credential "https://example.org:8443"]' in configuration
    assert "hunter2" not in configuration + repr(address) + repr(Access(token="hunter2"))
    with pytest.raises(SwarmctlError) as caught:
        talking(address, Access(token="hunter2\nhost=evil"))
    assert "hunter2" not in str(caught.value.problems)
    assert "SWARMCTL_GIT_PASSWORD" not in talking(parse_address("/srv/x"), Access(token="hunter2"))


def test_ssh_asks_nobody_and_trusts_only_the_hosts_that_are_named():
    access = Access(ssh_key="/keys/a b", known_hosts="/keys/known%h hosts")
    line = shlex.split(talking(parse_address("git@h:x"), access)["GIT_SSH_COMMAND"])
    assert line[:3] == ["ssh", "-F", "/dev/null"]
    assert line[line.index("-i") + 1] == "/keys/a b"
    for option in ("BatchMode=yes", "StrictHostKeyChecking=yes", 'UserKnownHostsFile="/keys/known%%h hosts"'):
        assert option in line


@pytest.mark.parametrize(
    ("error", "code", "passing"),
    [
        ("fatal: Authentication failed for 'https://h/x/'", ErrorCode.SOURCE_REFUSED, False),
        ("git@h: Permission denied (publickey).\nfatal: Could not read from remote", ErrorCode.SOURCE_REFUSED, False),
        ("fatal: unable to access 'https://h/': Could not resolve host: h", ErrorCode.SOURCE_UNREACHABLE, True),
        ("remote: Repository not found.\nfatal: repository 'x' not found", ErrorCode.SOURCE_UNREACHABLE, True),
        ("error: RPC failed; HTTP 503\nfatal: expected flush", ErrorCode.SOURCE_UNREACHABLE, True),
        ("fatal: write error: No space left on device", ErrorCode.SOURCE_DISK_FULL, True),
        (
            "error: object 123: gitmodulesUrl: disallowed\nfatal: fsck error in packed object",
            ErrorCode.SOURCE_UNSAFE,
            False,
        ),
        ("fatal: bad object refs/swarmctl/kept/x", ErrorCode.SOURCE_DAMAGED, True),
    ],
)
def test_what_git_says_is_told_by_code(error, code, passing):
    fault = remote_fault(Ended(128, b"", error), "the address", 5).fault
    assert (fault.code, fault.passing) == (code, passing)
    assert fault.why.startswith("Git says: ")
    assert fault.hint


def test_what_is_shown_of_gits_words_holds_no_address_and_no_control_characters():
    text = said("fatal: unable to access 'https://ada:hunter2@h/x/': \x1b[31mFailed to connect\x07\n")
    assert "hunter2" not in text
    assert text.isprintable()


def test_a_command_that_ran_out_of_time_or_printed_too_much_says_so():
    late = remote_fault(Ended(124, b"", ""), "x", 5).fault
    assert (late.code, "5 s" in late.why) == (ErrorCode.SOURCE_TIMED_OUT, True)
    assert remote_fault(Ended(None, b"", "", overflowed=True), "x", 5).fault.code is ErrorCode.SOURCE_TOO_LARGE
    refused = remote_fault(Ended(124, b"", "fatal: Authentication failed"), "x", 5).fault
    assert refused.code is ErrorCode.SOURCE_REFUSED


def test_the_sentence_stays_one_without_its_address():
    text = said("fatal: unable to access 'https://h.invalid/x.git/': Could not resolve host: h.invalid\n")
    assert text == "Git says: unable to access the address: Could not resolve host: h.invalid."
    assert "ter2" not in said("fatal: unable to access 'https://ada:hun'ter2@h/x/': Failed to connect\n")
