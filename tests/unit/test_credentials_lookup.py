"""Which credential a URL gets, what is said on the way, and which keys lead nowhere."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import leaks
from keelback.credentials import lookup, opening
from keelback.credentials.deadkeys import dead_keys
from keelback.credentials.keys import candidate_keys, service_keys
from keelback.credentials.kinds import BasicHTTP, BearerToken, CondaToken, Credential, OAuth, S3Credentials
from keelback.credentials.lookup import credential_for, depends_on_keychain, find, login_name, require
from keelback.credentials.opening import default_stores
from keelback.credentials.stores import Store
from keelback.errors import CredentialError, CredentialFileError, ExitStatus, UsageError
from keelback.hosts import host_of
from keelback.secret import Secret

TOKEN = leaks.watch("kbt-3Zp8-lookup", "lookup")


class Memory(Store):
    """A store in memory."""

    def __init__(self, name: str = "MEMORY", **credentials: Credential) -> None:
        self.name = name
        self.entries = credentials

    def get(self, key: str) -> Credential | None:
        """The credential under *key*."""
        return self.entries.get(key)

    def keys(self) -> list[str]:
        """All keys."""
        return list(self.entries)


def bearer(name: str = TOKEN) -> BearerToken:
    """A credential that can be told from others by its token."""
    return BearerToken(Secret(name))


def memory(*keys: str, name: str = "MEMORY", credential: Credential | None = None) -> Memory:
    """A store with the same credential, or one named after store and key, under each of *keys*."""
    return Memory(name, **{key: credential or bearer(f"{name}:{key}") for key in keys})


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process says only once has not been said yet."""
    monkeypatch.setattr(lookup, "_told", set())
    monkeypatch.setattr(opening, "_warned_of", set())


def write(path: Path, **values: object) -> Path:
    """An auth file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
    path.chmod(0o600)
    return leaks.holds_secrets(path)


# --- hosts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Repo.PREFIX.dev/x", "repo.prefix.dev"),
        ("HTTPS://prefix.dev", "prefix.dev"),
        ("https://ann:pw@prefix.dev:8443/x", "prefix.dev"),
        ("https://a@b@prefix.dev", "prefix.dev"),
        ("https://prefix.dev?x#y", "prefix.dev"),
        ("https://prefix.dev./x", "prefix.dev."),
        ("https://%70refix%2Edev/", "prefix.dev"),
        ("https:/prefix.dev/x", "prefix.dev"),
        ("https:prefix.dev", "prefix.dev"),
        ("https:\\\\prefix.dev\\x", "prefix.dev"),
        (" https://pre\nfix.dev/\t", "prefix.dev"),
        ("https://Bücher.example/", "xn--bcher-kva.example"),
        ("https://b%C3%BCcher.example/", "xn--bcher-kva.example"),
        ("https://bücher。example/", "xn--bcher-kva.example"),
        ("https://faß.example/", "xn--fa-hia.example"),
        ("https://😀.example/", "xn--e28h.example"),
        ("https://a_b.-c-.example/", "a_b.-c-.example"),
        ("https://a..b/", "a..b"),
        ("https://127.0.0.1:80/", "127.0.0.1"),
        ("https://127.1/", "127.0.0.1"),
        ("https://127.0.1/", "127.0.0.1"),
        ("https://0x7f000001/", "127.0.0.1"),
        ("https://0x7F.1/", "127.0.0.1"),
        ("https://2130706433/", "127.0.0.1"),
        ("https://0177.0.0.01/", "127.0.0.1"),
        ("https://127.0.0.1./", "127.0.0.1"),
        ("https://0x.1/", "0.0.0.1"),
        ("https://\uff11\uff12\uff17.1/", "127.0.0.1"),
        ("https://[::1]:8000/", "[::1]"),
        ("https://[2001:DB8:0:0:0:0:0:1]/", "[2001:db8::1]"),
        ("https://[::ffff:127.0.0.1]/", "[::ffff:7f00:1]"),
        ("s3://My-Bucket/x", "My-Bucket"),
        ("s3://10.1/x", "10.1"),
        ("s3://b:9000/x", "b"),
        ("s3://bü/x", "b%C3%BC"),
        ("quetz://Host/x", "Host"),
    ],
)
def test_a_host_is_normalised_as_browsers_do(url: str, host: str) -> None:
    """The host is that of the WHATWG URL standard; of schemes other than the web's own it is taken as written."""
    assert host_of(url) == host


@pytest.mark.parametrize(
    "url",
    [
        "",
        "prefix.dev",
        "prefix.dev/x",
        "localhost:8000/x",
        "/a/path",
        "C:\\packages",
        "mailto:ann@prefix.dev",
        "file:///home/ann",
        "https://",
        "https:///",
        "https://:443/",
        "https://ann@/",
        "https://a b/",
        "https://a%20b/",
        "https://a%00b/",
        "https://a%b/",
        "https://a<b/",
        "https://a:b/",
        "https://a:99999/",
        "https://256.1.1.1/",
        "https://1.2.3.4.5/",
        "https://1.16777216/",
        "https://4294967296/",
        "https://09.1/",
        "https://a.1/",
        "https://a.0x/",
        "https://1..2/",
        "https://[::1/",
        "https://[::g]/",
        "https://[::1]x/",
        "https://[fe80::1%25eth0]/",
        "https://::1/",
        "https://b%FC.example/",
        "https://a\u2260\u0000b.example/",
        "s3:bucket/x",
        "s3://",
        "s3://a b/x",
    ],
)
def test_a_url_without_a_host_has_no_keys(url: str) -> None:
    """What cannot be parsed, or has no host, gets no credential; nothing is raised."""
    assert host_of(url) == ""
    assert candidate_keys(url) == []
    assert service_keys(url) == []


@pytest.mark.parametrize(
    ("url", "keys"),
    [
        ("https://repo.prefix.dev/x", ["repo.prefix.dev", "*.repo.prefix.dev", "*.prefix.dev", "*.dev"]),
        ("https://prefix.dev/x", ["prefix.dev", "*.prefix.dev", "*.dev"]),
        ("https://localhost:8000/x", ["localhost", "*.localhost"]),
        ("https://10.0.0.1/x", ["10.0.0.1"]),
        ("https://[::1]/x", ["[::1]"]),
        ("https://host./x", ["host.", "*.host.", "*."]),
        ("s3://b/c/d", ["b", "s3://b/c/d", "s3://b/c", "s3://b", "s3:/", "s3:"]),
        ("s3://b/c/", ["b", "s3://b/c/", "s3://b/c", "s3://b", "s3:/", "s3:"]),
        ("s3://a.b", ["a.b", "s3://a.b", "s3:/", "s3:"]),
        ("S3://B:9000/ü x", ["B", "s3://B:9000/%C3%BC%20x", "s3://B:9000", "s3:/", "s3:"]),
    ],
)
def test_keys_are_tried_from_the_exact_host_outward(url: str, keys: list[str]) -> None:
    """These are rattler's keys, in rattler's order (storage.rs, get_by_url_with_host)."""
    assert candidate_keys(url) == keys


@settings(deadline=None)
@given(st.text(max_size=40) | st.builds("{}://{}".format, st.sampled_from(["http", "s3", "x"]), st.text(max_size=30)))
def test_no_text_at_all_is_an_error(url: str) -> None:
    """Whatever is given as a URL, it has keys or it has none."""
    keys = candidate_keys(url)
    assert all(keys)
    assert (host_of(url) != "") == bool(keys)


def test_asking_for_keys_costs_no_http_client() -> None:
    """Importing the keys and asking for some loads neither httpx2 nor idna, which would be felt at every start."""
    code = (
        "import sys\nfrom keelback.credentials.keys import candidate_keys\n"
        "candidate_keys('https://repo.prefix.dev/x')\nprint({'httpx2', 'idna'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# --- finding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "url", "found"),
    [
        (["*.prefix.dev"], ["prefix.dev"], "https://prefix.dev/x", "second:prefix.dev"),
        (["prefix.dev"], ["prefix.dev"], "https://prefix.dev/x", "first:prefix.dev"),
        (["*.dev"], ["*.prefix.dev"], "https://repo.prefix.dev/x", "second:*.prefix.dev"),
        ([], ["s3://b/c"], "s3://b/c/d", "second:s3://b/c"),
        (["s3://b/c"], ["b"], "s3://b/c/d", "second:b"),
        (["*.b"], ["*.a.b"], "s3://a.b/c", None),
        (["*.0.0.1"], ["*.10.0.0.1"], "http://10.0.0.1/", None),
        (["PREFIX.dev", "prefix.dev:443", "https://prefix.dev"], ["prefix.dev/"], "https://prefix.dev:443/", None),
    ],
)
def test_keys_outer_stores_inner(first: list[str], second: list[str], url: str, found: str | None) -> None:
    """A key nearer to the host wins, in whichever store it is; of two equal keys the first store's wins."""
    stores = [memory(*first, name="first"), memory(*second, name="second")]
    match = find(url, stores)
    if found is None:
        assert match is None
    else:
        store, _, key = found.partition(":")
        assert match is not None
        assert (match.store.name, match.key) == (store, key)
        assert match.credential == bearer(found)


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://api.anaconda.org/x", "anaconda.org"),
        ("https://conda.anaconda.org/x", "anaconda.org"),
        ("https://repo.prefix.dev/x", "prefix.dev"),
        ("https://beta.prefix.dev/x", "prefix.dev"),
        ("https://repo.beta.prefix.dev/x", "prefix.dev"),
    ],
)
def test_a_service_is_one_under_all_its_names(url: str, key: str) -> None:
    """A key written as rattler-build's documentation shows it serves the service's other hosts as well."""
    match = find(url, [memory(key)])
    assert match is not None
    assert match.key == key


@pytest.mark.parametrize(
    "url",
    [
        "https://foo.anaconda.org/x",
        "https://api.anaconda.org.evil.example/x",
        "https://apianaconda.org/x",
        "https://evilprefix.dev/x",
        "https://prefix.dev.evil.example/x",
        "https://evil.example/prefix.dev",
        "https://repo.prefix.dev./x",
        "s3://repo.prefix.dev/x",
    ],
)
def test_nobody_else_is_taken_for_a_known_service(url: str) -> None:
    """Names that only look like a service's own get nothing of its key."""
    assert find(url, [memory("anaconda.org", "prefix.dev")]) is None


def test_a_service_comes_after_all_of_rattlers_rules() -> None:
    """Even the widest wildcard, even in the last store, goes before keelback's own rule."""
    match = find("https://api.anaconda.org/x", [memory("anaconda.org", name="first"), memory("*.org", name="second")])
    assert match is not None
    assert (match.key, match.store.name) == ("*.org", "second")


def test_a_name_and_password_in_the_url_win() -> None:
    """Whoever writes them there means them; they are taken as written, percent-encoding undone."""
    match = find("https://ann:p%40ss@prefix.dev/x", [memory("prefix.dev")])
    assert match is not None
    assert match.credential == BasicHTTP("ann", Secret("p@ss"))
    assert (match.key, match.store.name) == ("prefix.dev", "the URL itself")
    assert "p@ss" not in repr(match)


def test_a_backslash_in_a_url_is_refused() -> None:
    """Parsers disagree on whose host this is, and so nobody's credential may go there."""
    with pytest.raises(UsageError, match=r"^The URL for prefix\.dev has a backslash in it\.$"):
        find("https://prefix.dev\\@evil.example/x", [memory("prefix.dev", "evil.example")])
    assert find("s3://b/a\\b", [memory("b")]) is not None


def test_an_escape_in_the_host_of_a_url_is_refused() -> None:
    """By WHATWG it stands for what it escapes, and httpx2 would connect to it as it is."""
    with pytest.raises(UsageError, match=r"^The URL for a\.b\.com has a percent sign in its host\.$"):
        find("https://a%2eb.com/", [memory("a.b.com", "*.b.com")])
    assert find("https://ann:p%40ss@a.b.com/%2e", [memory("a.b.com")]) is not None


def test_an_empty_name_in_the_url_is_none() -> None:
    """Neither a bare @ nor a bucket's user counts."""
    match = find("https://@prefix.dev/x", [memory("prefix.dev")])
    assert match is not None
    assert match.store.name == "MEMORY"
    assert find("s3://ann:pw@bucket/x", []) is None


def test_an_entry_that_cannot_be_used_is_not_passed_over(tmp_path: Path) -> None:
    """An empty exact entry is an error, not a reason to fall back on a wildcard meant for others."""
    path = write(tmp_path / "a.json", **{"prefix.dev": {"BearerToken": ""}, "*.dev": {"BearerToken": TOKEN}})
    stores = default_stores(path)
    with pytest.raises(CredentialFileError, match=r"key 'prefix\.dev' is empty"):
        find("https://prefix.dev/x", stores)
    assert find("https://other.dev/x", stores) is not None


def test_the_first_use_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """On first use of a credential its kind, key and store are logged, once for each host; what it is never is."""
    caplog.set_level(logging.INFO, "keelback.credentials")
    stores = [memory("*.anaconda.org", name="RATTLER_AUTH_FILE (/path)", credential=CondaToken(Secret(TOKEN)))]
    for url in ("https://api.anaconda.org/a", "https://api.anaconda.org/b", "https://conda.anaconda.org/a"):
        find(url, stores)
    assert caplog.messages == [
        "api.anaconda.org: CondaToken under key '*.anaconda.org' from RATTLER_AUTH_FILE (/path)",
        "conda.anaconda.org: CondaToken under key '*.anaconda.org' from RATTLER_AUTH_FILE (/path)",
    ]
    assert TOKEN not in caplog.text


# --- stores -----------------------------------------------------------------------------------------------------------


def test_by_default_the_variables_file_goes_before_the_users(tmp_path: Path) -> None:
    """RATTLER_AUTH_FILE first, then ~/.rattler/credentials.json; both are named as a person would."""
    named = write(tmp_path / "named.json", a={"BearerToken": "named"})
    default = write(tmp_path / ".rattler" / "credentials.json", a={"BearerToken": "x"}, b={"BearerToken": "default"})
    stores = default_stores(environ={"RATTLER_AUTH_FILE": str(named)}, home=tmp_path, keychain=False)
    assert [store.name for store in stores][:2] == [f"RATTLER_AUTH_FILE ({named})", f"default auth file ({default})"]
    found = [find(url, stores) for url in ("https://a/", "https://b/")]
    assert [match and match.credential for match in found] == [bearer("named"), bearer("default")]


@pytest.mark.parametrize("environ", [{}, {"RATTLER_AUTH_FILE": ""}])
def test_an_empty_variable_is_none(tmp_path: Path, environ: dict[str, str]) -> None:
    """Set to nothing, as CI does with secrets that are not there, it counts as not set; rattler takes it so too."""
    store, *_ = default_stores(environ=environ, home=tmp_path, keychain=False)
    assert store.name.startswith("default auth file")
    assert store.keys() == []


def test_a_file_named_for_the_run_is_the_only_store(tmp_path: Path) -> None:
    """--auth-file means that file, and no other store."""
    write(tmp_path / ".rattler" / "credentials.json", a={"BearerToken": TOKEN})
    named = write(tmp_path / "named.json")
    (store,) = default_stores(named, {"RATTLER_AUTH_FILE": "/nowhere"}, tmp_path)
    assert store.name == f"--auth-file ({named})"


@pytest.mark.parametrize("by_variable", [True, False])
def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path, *, by_variable: bool) -> None:
    """A file that was named is meant; the error says by what it was named."""
    path = tmp_path / "none.json"
    environ = {"RATTLER_AUTH_FILE": str(path)} if by_variable else {}
    with pytest.raises(CredentialFileError) as caught:
        default_stores(None if by_variable else path, environ, tmp_path)
    name = "RATTLER_AUTH_FILE" if by_variable else "--auth-file"
    assert caught.value.message == f"{name} ({path}): no such file."


def test_a_user_without_a_home_has_no_default_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's user may have no entry and no HOME."""

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert not [store for store in default_stores(environ={}, keychain=False) if "default auth file" in store.name]


def test_the_library_answers_with_key_store_and_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """keelback.credential_for() needs nothing but the URL, reads what the command reads, and says nothing by None."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.delenv("RATTLER_AUTH_FILE", raising=False)
    assert credential_for("https://prefix.dev/x") is None
    write(tmp_path / ".rattler" / "credentials.json", **{"*.prefix.dev": {"BearerToken": TOKEN}})
    match = credential_for("https://prefix.dev/x")
    assert match is not None
    assert (match.key, match.credential) == ("*.prefix.dev", bearer())
    assert "credentials.json" in match.store.name
    assert TOKEN not in repr(match)
    named = write(tmp_path / "named.json")
    monkeypatch.setenv("RATTLER_AUTH_FILE", "/nowhere")
    assert credential_for("https://prefix.dev/x", auth_file=str(named)) is None


# --- what a server needs ----------------------------------------------------------------------------------------------

QUETZ = "https://quetz.example.com/get/main"


def refused(stores: list[Store], url: str = QUETZ, env: str = "QUETZ_API_KEY") -> CredentialError:
    """How a server that takes tokens alone refuses what the stores have."""
    with pytest.raises(CredentialError) as caught:
        require(
            find(url, stores),
            url,
            [CondaToken, BearerToken],
            server="Quetz",
            looked=stores,
            flag="--api-key",
            env=env,
        )
    assert caught.value.exit_status == ExitStatus.CREDENTIAL
    assert TOKEN not in caught.value.message + caught.value.hint
    return caught.value


def test_a_credential_of_a_usable_kind_is_passed_on() -> None:
    """Nothing to say."""
    match = find(QUETZ, [memory("quetz.example.com")])
    assert require(match, QUETZ, [BearerToken], server="Quetz", looked=[], flag="", env="") is match


def test_no_credential_says_where_was_looked_and_what_to_do() -> None:
    """Server, host, every key and every store; then the login, the flag, and the variable."""
    error = refused([memory(name="RATTLER_AUTH_FILE (/a)"), memory(name="default auth file (/b)")])
    assert error.code == "no-credential"
    assert error.message == (
        "No credential for Quetz at quetz.example.com: none of the keys quetz.example.com, *.quetz.example.com, "
        "*.example.com, *.com is in RATTLER_AUTH_FILE (/a), default auth file (/b)."
    )
    assert error.hint == (
        "Log in with: keelback auth login quetz.example.com, or give --api-key, or set QUETZ_API_KEY."
    )


def test_one_key_is_told_as_one() -> None:
    """An address has no wildcards."""
    error = refused([memory(name="AUTH (/a)")], "http://127.0.0.1/get/main")
    assert "the key 127.0.0.1 is not in AUTH (/a)." in error.message


def test_where_there_was_no_store_none_is_named() -> None:
    """The sentence holds without stores and without a variable."""
    error = refused([], env="")
    assert error.message.endswith(" is in any store.")
    assert error.hint == "Log in with: keelback auth login quetz.example.com, or give --api-key."


def test_one_logs_in_to_the_service_by_the_name_that_people_know() -> None:
    """For a service with several hosts its own name is shown: the login serves them all."""
    assert "keelback auth login anaconda.org," in refused([], "https://api.anaconda.org/x").hint


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h.example/x", "h.example"),
        ("https://ann:pw@H.example:443/x", "h.example"),
        ("https://h.example:8443/x", "https://h.example:8443"),
        ("http://127.0.0.1:8765/x", "http://127.0.0.1:8765"),
        ("http://h.example:80/x", "http://h.example"),
        ("http://[::1]:8000/x", "http://[::1]:8000"),
        ("https://repo.prefix.dev/x", "prefix.dev"),
        ("s3://bucket/x", "s3://bucket"),
    ],
)
def test_one_logs_in_where_the_server_is(url: str, name: str) -> None:
    """What is printed can be pasted: a login at another port, or without TLS, has to be tried there."""
    assert login_name(url) == name


def test_a_dead_key_that_was_meant_is_the_hint() -> None:
    """Where a key in the store was meant for this host and cannot match it, that is what to repair."""
    error = refused([memory("https://quetz.example.com/", name="AUTH")])
    assert error.hint == (
        "Key 'https://quetz.example.com/' in AUTH never matches; write 'quetz.example.com' in its place."
    )


def test_the_wrong_kind_is_named_with_those_that_would_do() -> None:
    """Kind found, key, store, and the kinds that this server takes."""
    error = refused([memory("*.example.com", name="AUTH (/a)", credential=BasicHTTP("ann", Secret(TOKEN)))])
    assert error.code == "wrong-kind"
    assert error.message == (
        "Quetz at quetz.example.com cannot use the BasicHTTP under key '*.example.com' of AUTH (/a); "
        "it takes CondaToken or BearerToken."
    )
    assert error.hint.endswith("or give --api-key, or set QUETZ_API_KEY.")


def test_a_secret_in_the_url_is_not_shown() -> None:
    """Of the URL only the host is shown, and the keys of an s3 URL are redacted."""
    error = refused([], f"s3://ann:{TOKEN}@bucket/x")
    assert "bucket" in error.message


# --- keys that lead nowhere -------------------------------------------------------------------------------------------

S3 = S3Credentials("AK", Secret(TOKEN))


@pytest.mark.parametrize(
    ("key", "instead", "why"),
    [
        ("https://prefix.dev", "prefix.dev", "without a scheme"),
        ("https://user@Prefix.dev:443/channel", "prefix.dev", "without a scheme"),
        ("prefix.dev/", "prefix.dev", "without a path"),
        ("*.prefix.dev/", "*.prefix.dev", "without a path"),
        ("prefix.dev/channel", "prefix.dev", "without a path"),
        ("localhost:8080", "localhost", "without a port"),
        ("*.example.com:443", "*.example.com", "without a port"),
        ("Prefix.dev", "prefix.dev", "lower case"),
        ("*.Prefix.dev", "*.prefix.dev", "lower case"),
        ("bücher.example", "xn--bcher-kva.example", "punycode"),
        ("*.bücher.example", "*.xn--bcher-kva.example", "punycode"),
        ("::1", "[::1]", "in brackets"),
        ("[0:0::1]", "[::1]", "in brackets"),
        ("127.1", "127.0.0.1", "compared as '127.0.0.1'"),
        ("*.10.0.0.1", "10.0.0.1", "no names below it"),
        (" prefix.dev", "prefix.dev", "compared as 'prefix.dev'"),
        ("a b", None, "not the name of a host"),
        ("", None, "it is empty"),
        ("*", None, "only at the beginning"),
        ("*prefix.dev", None, "only at the beginning"),
        ("*.*.dev", None, "only at the beginning"),
        ("S3://b", "b", "without a scheme"),
    ],
)
def test_a_key_that_no_url_leads_to_is_named(key: str, instead: str | None, why: str) -> None:
    """A key with a port, a scheme, a path, upper case and the like is named with the key that would work."""
    (problem,) = dead_keys(memory(key))
    assert (problem.key, problem.instead, problem.never_matches) == (key, instead, True)
    assert why in problem.why
    assert str(problem).startswith(f"key {key!r} can never match: ")


@pytest.mark.parametrize(
    ("key", "instead"),
    [
        ("*.a.b", "a.b"),
        ("https://bucket/x", None),
        ("bucket/channel", "s3://bucket/channel"),
        ("bucket/", "s3://bucket"),
        ("bucket:9000", "s3://bucket:9000"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bücket/x", "s3://b%C3%BCcket/x"),
        ("s3:bucket", None),
    ],
)
def test_a_key_that_no_s3_url_leads_to_is_named(key: str, instead: str | None) -> None:
    """S3 keys are found by the bucket as written, or by an s3 URL without a slash at its end; never by wildcard."""
    (problem,) = dead_keys(memory(key, credential=S3))
    assert (problem.key, problem.instead) == (key, instead)


@pytest.mark.parametrize(
    ("key", "instead"), [("gs://acme/", "gs://acme"), ("gs:/", None), ("gs:acme", None), ("gs:", None)]
)
def test_a_key_that_no_gs_url_leads_to_is_named(key: str, instead: str | None) -> None:
    """Buckets of Google Cloud Storage are looked up by their URLs, as those of S3 are."""
    (problem,) = dead_keys(memory(key))
    assert (problem.key, problem.instead) == (key, instead)


@pytest.mark.parametrize("key", ["*.dev", "*.com", "*.", "s3:", "s3:/"])
def test_a_key_that_leads_to_half_the_world_is_named(key: str) -> None:
    """Nothing in rattler guards against it: '*.dev' sends the credential to every host under .dev."""
    (problem,) = dead_keys(memory(key))
    assert not problem.never_matches
    assert "matches too much" in str(problem)


@pytest.mark.parametrize(
    ("key", "credential"),
    [
        ("prefix.dev", None),
        ("*.prefix.dev", None),
        ("localhost", None),
        ("*.localhost", None),
        ("10.0.0.1", None),
        ("[::1]", None),
        ("xn--bcher-kva.example", None),
        ("a_b", None),
        ("My-Bucket", S3),
        ("my.bucket", S3),
        ("s3://My-Bucket/a/b", S3),
        ("s3://b:9000", S3),
        ("gs://acme", None),
        ("gs://acme/channel", None),
    ],
)
def test_a_good_key_is_not_complained_of(key: str, credential: Credential | None) -> None:
    """Silence where all is well."""
    assert dead_keys(memory(key, credential=credential)) == []


@settings(deadline=None)
@given(st.lists(st.sampled_from([*"aB9.:/-@ü[] ", "//", "*.", "dev", "https:", "s3:"]), max_size=8).map("".join))
def test_a_key_is_either_dead_or_leads_somewhere(key: str) -> None:
    """The law behind the two: a key without a complaint is among the keys of its own host, and all advice is good."""
    problems = [problem for problem in dead_keys(memory(key)) if problem.never_matches]
    if not problems:
        url = f"https://{key.removeprefix('*.') or 'a.'}/"
        assert key in [*candidate_keys(url), *candidate_keys(key), "s3:/", "s3:"]
    for problem in problems:
        if problem.instead is not None:
            assert not [again for again in dead_keys(memory(problem.instead)) if again.never_matches]


def test_dead_keys_are_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever opens the store is told, with the store's name; the second time in a process nobody is."""
    path = write(tmp_path / "a.json", **{"prefix.dev:443": {"BearerToken": TOKEN}, "ok.dev": {"BearerToken": ""}})
    default_stores(path)
    default_stores(path)
    (message,) = caplog.messages
    assert message == (
        f"--auth-file ({path}): key 'prefix.dev:443' can never match: "
        "a key is a host, without a port; it serves all ports; write 'prefix.dev' in its place"
    )


def test_oauth_counts_as_a_kind_of_its_own() -> None:
    """A login's entry is found and passed on like any other."""
    entry = OAuth(Secret(TOKEN), None, None, "https://id.example", None, "rattler")
    match = find("https://prefix.dev/x", [memory("prefix.dev", credential=entry)])
    assert match is not None
    assert require(match, "https://prefix.dev/x", [OAuth], server="p", looked=[], flag="", env="") is match


# --- beyond rattler ---------------------------------------------------------------------------------------------------


class Beyond(Memory):
    """A store that rattler does not know."""

    is_beyond_rattler = True
    is_path_scoped = True


@pytest.mark.parametrize(
    ("known", "beyond", "url", "found"),
    [
        (["*.prefix.dev"], ["repo.prefix.dev"], "https://repo.prefix.dev/x", "known:*.prefix.dev"),
        ([], ["repo.prefix.dev"], "https://repo.prefix.dev/x", "beyond:repo.prefix.dev"),
        (["prefix.dev"], ["*.prefix.dev"], "https://repo.prefix.dev/x", "beyond:*.prefix.dev"),
        (["prefix.dev"], ["prefix.dev"], "https://repo.prefix.dev/x", "known:prefix.dev"),
        (["repo.prefix.dev"], ["repo.prefix.dev/x"], "https://repo.prefix.dev/x/noarch/a", "beyond:repo.prefix.dev/x"),
        (["h"], ["h/x", "h/x/y"], "https://h/x/y/z", "beyond:h/x/y"),
        (["h"], ["h/x", "h/x/y"], "https://h/x/yy", "beyond:h/x"),
        (["h"], ["h/x"], "https://h/xx", "known:h"),
        (["h"], ["h/x"], "https://h/t/token/x/noarch", "beyond:h/x"),
    ],
)
def test_what_rattler_does_not_know_comes_after_what_it_knows(
    known: list[str], beyond: list[str], url: str, found: str
) -> None:
    """Except for a key with a path: whoever wrote that meant this channel and no other."""
    match = find(
        url, [memory(*known, name="known"), Beyond("beyond", **{key: bearer(f"beyond:{key}") for key in beyond})]
    )
    assert match is not None
    assert match.credential == bearer(found)


class Keychain(Memory):
    """A keychain that may keep a person waiting."""

    is_keychain = True


@pytest.mark.parametrize(
    ("first", "last", "depends"),
    [
        ([], [], True),
        (["prefix.dev"], [], False),
        (["*.prefix.dev"], [], True),
        ([], ["prefix.dev"], True),
    ],
)
def test_the_keychain_is_needed_where_an_entry_of_it_could_win(
    first: list[str], last: list[str], *, depends: bool
) -> None:
    """An exact key in a store before it settles the matter; a wildcard, or a store after it, does not."""
    stores = [memory(*first), Keychain("the keychain"), memory(*last)]
    assert depends_on_keychain("https://prefix.dev/x", stores) is depends
