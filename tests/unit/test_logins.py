"""Under which key a login is kept, in which store, and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import leaks
from keelback.credentials.authfile import FileStore
from keelback.credentials.kinds import BearerToken, OAuth, S3Credentials
from keelback.credentials.logins import keep, key_for_login, key_for_path, log_out, served_by, shadowing
from keelback.credentials.lookup import find
from keelback.credentials.ownfile import OwnFileStore
from keelback.credentials.stores import Store, WritableStore
from keelback.errors import CredentialError, CredentialStoreError, UsageError
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from keelback.credentials.kinds import Credential
    from keelback.credentials.stores import Change


def bearer(label: str = "token") -> BearerToken:
    """A token nobody has yet."""
    return BearerToken(Secret(leaks.new_secret(label)))


def file_store(path: Path, name: str = "") -> FileStore:
    """A file that need not be there."""
    leaks.holds_secrets(path)
    return FileStore(path, name or path.name)


class Silent(WritableStore):
    """A keychain that takes nothing."""

    name = "the keychain"
    is_keychain = True

    def get(self, key: str) -> Credential | None:
        """Nothing."""

    def keys(self) -> Sequence[str]:
        """None."""
        return []

    def update(self, key: str, change: Change) -> Credential | None:  # noqa: ARG002 - a store's signature
        """Never."""
        raise CredentialStoreError("The keychain is locked.")


class Fixed(Store):
    """A store that is only read, as netrc is."""

    def __init__(self, entries: dict[str, Credential]) -> None:
        self.name = "netrc"
        self._entries = entries

    def get(self, key: str) -> Credential | None:
        """What is there."""
        return self._entries.get(key)

    def keys(self) -> Sequence[str]:
        """All."""
        return list(self._entries)


@pytest.mark.parametrize(
    ("typed", "key", "url"),
    [
        ("prefix.dev", "*.prefix.dev", "https://repo.prefix.dev/x"),
        ("https://prefix.dev/x", "*.prefix.dev", "https://prefix.dev/x"),
        ("anaconda.org", "*.anaconda.org", "https://api.anaconda.org/user"),
        ("example.co.uk", "example.co.uk", "https://example.co.uk/x"),
        ("localhost", "localhost", "http://localhost:8000/x"),
        ("https://localhost:8080", "localhost", "http://localhost:8080/x"),
        ("localhost:8080", "localhost", "http://localhost:8080/x"),
        ("prefix.dev/", "*.prefix.dev", "https://prefix.dev/x"),
        ("Prefix.DEV:443/my-channel", "*.prefix.dev", "https://prefix.dev/my-channel"),
        ("*.example.co.uk", "*.example.co.uk", "https://conda.example.co.uk/x"),
        ("*.example", "*.example", "https://conda.example/x"),
        ("bücher.example", "*.xn--bcher-kva.example", "https://conda.bücher.example/x"),
        ("10.0.0.1:80", "10.0.0.1", "http://10.0.0.1/x"),
        ("[::1]:80", "[::1]", "http://[::1]/x"),
        ("quetz+https://conda.example.com/x", "conda.example.com", "https://conda.example.com/x"),
    ],
)
def test_the_key_of_a_login_is_one_under_which_it_is_found(tmp_path: Path, typed: str, key: str, url: str) -> None:
    """The table of rattler's own login, with the keys mended that nothing ever matches."""
    store = file_store(tmp_path / "auth.json")
    assert key_for_login(typed, BearerToken) == key
    keep([store], key, bearer())
    match = find(url, [store])
    assert match is not None
    assert match.key == key


@pytest.mark.parametrize(("typed", "key"), [("s3://my-bucket/chan", "my-bucket"), ("s3://a.b", "a.b")])
def test_s3_keys_are_kept_under_the_bucket(tmp_path: Path, typed: str, key: str) -> None:
    """Also where its name has one dot: wildcards do not count for s3."""
    store = file_store(tmp_path / "auth.json")
    keys = S3Credentials("AK", Secret(leaks.new_secret("s3")))
    assert key_for_login(typed, S3Credentials) == key
    keep([store], key, keys)
    assert find(typed, [store]) is not None


@pytest.mark.parametrize(
    ("typed", "kind"),
    [
        ("", BearerToken),
        ("https://", BearerToken),
        ("file:///x", BearerToken),
        ("ftp://example.com", BearerToken),
        ("a b.example", BearerToken),
        ("exa*mple.com", BearerToken),
        ("https://ann@example.com", BearerToken),
        ("s3://bucket", BearerToken),
        ("example.com", S3Credentials),
    ],
)
def test_what_is_no_place_for_a_login_is_refused(typed: str, kind: type[Credential]) -> None:
    """No host, a name in the URL, or a kind that does not go with the scheme."""
    with pytest.raises(UsageError):
        key_for_login(typed, kind)


def test_a_login_for_a_path_is_for_that_path(tmp_path: Path) -> None:
    """It goes into keelback's own file, wins there, and serves nothing beside it; on s3 the key is rattler's own."""
    stores = [file_store(tmp_path / "auth.json"), OwnFileStore(leaks.holds_secrets(tmp_path / "own.json"))]
    keep(stores, key_for_login("example.com", BearerToken), bearer())
    key = key_for_path("https://example.com/private/", BearerToken)
    kept = keep(stores, key, bearer())
    assert (kept.store, key) == (stores[1], "example.com/private")
    assert [find(f"https://example.com/{path}", stores).key for path in ("private/noarch", "privateer")] == [
        key,
        "*.example.com",
    ]
    assert key_for_path("s3://bucket/chan/", S3Credentials) == "s3://bucket/chan"
    for place, kind in (("https://example.com/", BearerToken), ("s3://bucket/", S3Credentials)):
        with pytest.raises(UsageError, match="no path"):
            key_for_path(place, kind)


def test_what_a_key_serves_is_said_in_words() -> None:
    """Everybody can tell from it where the credential goes."""
    assert served_by("*.prefix.dev", "BearerToken") == "prefix.dev and every host under it"
    assert served_by("localhost", "BearerToken") == "the host localhost"
    assert served_by("example.com/a", "BearerToken") == "example.com/a and what is under it"
    assert served_by("bucket", "S3Credentials") == "the bucket bucket"


def test_a_keychain_that_takes_nothing_is_passed_over_and_that_is_said(tmp_path: Path) -> None:
    """The credential is in the file then, and the reason is there to be told."""
    store = file_store(tmp_path / "default.json")
    kept = keep([Silent(), store], "example.com", bearer())
    assert (kept.store, kept.note) == (store, "The keychain is locked.")


def test_a_file_that_was_named_is_not_passed_over(tmp_path: Path) -> None:
    """Where it cannot be written, nothing is stored anywhere else."""
    named, default = file_store(tmp_path / "blocked" / "auth.json", "named"), file_store(tmp_path / "default.json")
    (tmp_path / "blocked").write_text("a file, and no folder")
    with pytest.raises(CredentialError, match="named"):
        keep([named, default], "example.com", bearer())
    assert default.keys() == []


def test_nothing_is_ever_stored_where_keelback_only_reads() -> None:
    """With netrc alone there is no place for a login."""
    with pytest.raises(CredentialStoreError, match="no store"):
        keep([Fixed({})], "example.com", bearer())


def test_an_entry_that_goes_before_the_new_one_is_named(tmp_path: Path) -> None:
    """The exact host in netrc wins over the wildcard that a login writes; so does that of an own host of a service."""
    store = file_store(tmp_path / "auth.json")
    stores = [store, Fixed({"prefix.dev": bearer()}), file_store(tmp_path / "other.json")]
    stores[2].update("repo.prefix.dev", lambda _: bearer())
    kept = keep(stores, "*.prefix.dev", bearer())
    first, second = shadowing(stores, "prefix.dev", kept, BearerToken)
    assert "'prefix.dev' of netrc" in first
    assert "by hand" in first
    assert "keelback auth logout 'repo.prefix.dev'" in second


def test_logging_out_removes_every_key_that_a_login_may_have_made(tmp_path: Path) -> None:
    """From every store: the wildcard, the host alone as OAuth logins of rattler have it, and what was typed."""
    first, second = file_store(tmp_path / "first.json"), file_store(tmp_path / "second.json")
    first.update("*.prefix.dev", lambda _: bearer())
    first.update("repo.prefix.dev", lambda _: bearer())
    second.update("prefix.dev", lambda _: bearer())
    second.update("prefix.dev/", lambda _: bearer())
    log_out([first, second], "prefix.dev/")
    assert (first.keys(), second.keys()) == (["repo.prefix.dev"], [])


def test_an_oauth_login_is_revoked_before_it_is_removed(tmp_path: Path) -> None:
    """What did not work at the server is told, and it is removed all the same."""
    store = file_store(tmp_path / "auth.json")
    login = OAuth(Secret(leaks.new_secret("access")), None, None, "https://a.example/t", None, "rattler")
    store.update("a.example", lambda _: login)
    still_there: list[bool] = []

    def revoke(credential: OAuth) -> list[str]:
        still_there.append(store.get("a.example") == credential)
        return ["a.example did not answer"]

    out = log_out([store], "a.example", revoke)
    assert (still_there, out.problems, out.failed, store.keys()) == ([True], ["a.example did not answer"], False, [])


def test_logging_out_of_everything_leaves_what_is_only_read(tmp_path: Path) -> None:
    """It is named, and is no failure; own entries with a path are removed, too."""
    own, netrc = OwnFileStore(leaks.holds_secrets(tmp_path / "own.json")), Fixed({"a.example": bearer()})
    own.update("a.example/x", lambda _: bearer())
    out = log_out([netrc, own], None)
    assert (out.left, out.failed) == ([(netrc, "a.example")], False)
    assert own.keys() == []


def test_logging_out_of_nothing_is_an_error_that_says_where_it_comes_from(tmp_path: Path) -> None:
    """No login at all; one under another key, which is named; one in a store that keelback does not change."""
    store = file_store(tmp_path / "auth.json")
    store.update("*.example.com", lambda _: bearer())
    with pytest.raises(CredentialError) as nothing:
        log_out([store], "other.org")
    with pytest.raises(CredentialError) as wildcard:
        log_out([store], "conda.example.com")
    with pytest.raises(CredentialError) as read_only:
        log_out([Fixed({"other.org": bearer()})], "other.org")
    assert (nothing.value.code, wildcard.value.code, read_only.value.code) == (
        "not-logged-in",
        "not-logged-in",
        "store",
    )
    assert "keelback auth logout '*.example.com'" in wildcard.value.hint
    assert "netrc" in read_only.value.message


def test_a_token_that_can_be_none_can_be_removed(tmp_path: Path) -> None:
    """Logging out is how one gets rid of it."""
    path = tmp_path / "auth.json"
    path.write_text('{"a.example.com": {"BearerToken": ""}}')
    path.chmod(0o600)
    store = file_store(path)
    log_out([store], "a.example.com")
    assert store.keys() == []
