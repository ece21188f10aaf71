"""What may be typed as the address of a remote host, and what is said to the rest."""

from __future__ import annotations

import pytest

from hosts.ssh.address import AddressInvalid, SshAddress, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ssh://anna@gpu-box", SshAddress("anna", "gpu-box")),
        ("ssh://anna@GPU-Box.Example.org:2222", SshAddress("anna", "gpu-box.example.org", 2222)),
        ("  ssh://anna@10.0.0.7/ ", SshAddress("anna", "10.0.0.7")),
        ("anna@nas", SshAddress("anna", "nas")),
        ("SSH://root@nas.local.:22", SshAddress("root", "nas.local")),
        ("ssh://anna@[fe80:0::1]:2222", SshAddress("anna", "fe80::1", 2222)),
        ("ssh://anna@[fe80::1%25eth0]", SshAddress("anna", "fe80::1%eth0")),
        ("ssh://anna.b_c-d+e@nas", SshAddress("anna.b_c-d+e", "nas")),
        ("ssh://anna@bücher.example", SshAddress("anna", "xn--bcher-kva.example")),
        ("ssh://anna@lab_1", SshAddress("anna", "lab_1")),
    ],
)
def test_an_address_is_read(text: str, address: SshAddress) -> None:
    assert parse(text) == address


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "missing"),
        ("   ", "missing"),
        ("ssh://gpu-box", "user to log in as"),
        ("not a url", "no spaces"),
        ("ssh://anna@nas\n-oProxyCommand=id", "no spaces"),
        ("http://anna@nas", "does not lead to a host by SSH"),
        ("unix:///var/run/docker.sock", "does not lead to a host by SSH"),
        ("ssh://anna:secret@nas", "Leave the password out"),
        ("ssh://anna@nas/etc/passwd", "Nothing may follow"),
        ("ssh://anna@nas?x=1", "Nothing may follow"),
        ("ssh://anna@nas#x", "Nothing may follow"),
        ("ssh://anna@", "host is missing"),
        ("ssh://anna@nas:0", "from 1 to 65535"),
        ("ssh://anna@nas:65536", "from 1 to 65535"),
        ("ssh://anna@nas:ssh", "from 1 to 65535"),
        ("ssh://anna@nas:", "from 1 to 65535"),
        ("ssh://-oProxyCommand=id@nas", "no user name"),
        ("ssh://anna;id@nas", "no user name"),
        ("ssh://an%0ana@nas", "no user name"),
        ("ssh://anna@-oProxyCommand", "no name of a machine"),
        ("ssh://anna@na$(id)s", "no name of a machine"),
        ("ssh://anna@nas..local", "no name of a machine"),
        ("ssh://anna@" + "a" * 64, "no name of a machine"),
        ("ssh://anna@300.1.1.1", "no IPv4 address"),
        ("ssh://anna@1.2.3", "no IPv4 address"),
        ("ssh://anna@fe80::1", r"in brackets: ssh://user@\[fe80::1\]"),
        ("ssh://anna@[fe80::zz]", "no IPv6 address"),
        ("ssh://anna@[fe80::1", "brackets"),
        ("ssh://anna@" + "a." * 200, "at most 300"),
    ],
)
def test_another_is_refused_with_a_sentence(text: str, says: str) -> None:
    with pytest.raises(AddressInvalid, match=says):
        parse(text)


@pytest.mark.parametrize(
    "text", ["ssh://anna@nas", "ssh://anna@nas:2222", "ssh://anna@[fe80::1]:2222"]
)
def test_an_address_is_written_as_it_was_read(text: str) -> None:
    assert str(parse(text)) == text
