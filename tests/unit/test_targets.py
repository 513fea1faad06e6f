"""Destinations as people write them: which are taken, as what, and what the others are told."""

from __future__ import annotations

import re
import string
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

import leaks
from keelback.channels.anaconda import AnacondaChannel
from keelback.channels.artifactory import ArtifactoryChannel
from keelback.channels.local import LocalChannel
from keelback.channels.prefix import PrefixChannel
from keelback.channels.quetz import QuetzChannel
from keelback.channels.registry import KINDS, channel_for
from keelback.channels.target import check_name, check_server, parse_target
from keelback.errors import UsageError

REMOTE = frozenset(KINDS) - {"local"}
NAMES = st.text(string.ascii_letters + string.digits + "._~-", min_size=1, max_size=20).filter(
    lambda name: name not in {".", ".."}
)
HOSTS = st.sampled_from(["example.com", "127.0.0.1", "[::1]", "a.b-c.example", "localhost"])
PORTS = st.sampled_from(["", ":8080", ":1", ":65535"])


@pytest.mark.parametrize(
    ("destination", "kind", "url"),
    [
        ("https://prefix.dev/my-channel", PrefixChannel, "https://prefix.dev/my-channel"),
        ("https://prefix.dev/my-channel/", PrefixChannel, "https://prefix.dev/my-channel"),
        ("https://repo.prefix.dev/my-channel", PrefixChannel, "https://prefix.dev/my-channel"),
        ("https://beta.prefix.dev/my-channel", PrefixChannel, "https://beta.prefix.dev/my-channel"),
        ("HTTPS://PREFIX.DEV/my-channel", PrefixChannel, "https://prefix.dev/my-channel"),
        ("prefix+https://example.com/org/chan", PrefixChannel, "https://example.com/org/chan"),
        ("prefix://example.com/chan", PrefixChannel, "https://example.com/chan"),
        ("https://anaconda.org/me", AnacondaChannel, "https://conda.anaconda.org/me"),
        ("https://anaconda.org/me/dev", AnacondaChannel, "https://conda.anaconda.org/me/label/dev"),
        ("https://conda.anaconda.org/me/label/dev", AnacondaChannel, "https://conda.anaconda.org/me/label/dev"),
        ("anaconda+https://example.com/api/me", AnacondaChannel, "https://example.com/conda/me"),
        ("anaconda+https://example.com/api/me/label/rc", AnacondaChannel, "https://example.com/conda/me/label/rc"),
        ("quetz+https://example.com/chan", QuetzChannel, "https://example.com/get/chan"),
        ("quetz+https://example.com/base/get/chan", QuetzChannel, "https://example.com/base/get/chan"),
        ("https://quetz.example.com/get/chan", QuetzChannel, "https://quetz.example.com/get/chan"),
        ("quetz+http://[::1]:8000/chan", QuetzChannel, "http://[::1]:8000/get/chan"),
        (
            "artifactory+https://example.com/artifactory/repo",
            ArtifactoryChannel,
            "https://example.com/artifactory/repo",
        ),
        ("artifactory+http://127.0.0.1:8081/repo", ArtifactoryChannel, "http://127.0.0.1:8081/repo"),
        ("https://example.com/artifactory/repo", ArtifactoryChannel, "https://example.com/artifactory/repo"),
        ("https://me.jfrog.io/artifactory/api/conda/repo", ArtifactoryChannel, "https://me.jfrog.io/artifactory/repo"),
    ],
)
def test_a_destination_is_the_channel_that_it_names(destination: str, kind: type, url: str) -> None:
    """Known hosts by themselves, others by the word in front; context paths and ports are kept."""
    channel = channel_for(destination)
    assert type(channel) is kind
    assert channel.url == url


@pytest.mark.parametrize(
    "destination",
    [
        "https://prefix.dev.evil.com/chan",
        "https://evilprefix.dev/chan",
        "https://prefix.dev./chan",
        "https://anaconda.org.evil.com/me",
        "https://notanaconda.org/me",
        "https://jfrog.io.evil.com/repo",
        "https://example.com/chan",
    ],
)
def test_a_host_that_only_looks_like_a_known_one_is_asked_about(destination: str) -> None:
    """No token goes to a host because its name contains a known one; the user is asked what it is."""
    with pytest.raises(UsageError, match="which kind of server") as caught:
        channel_for(destination)
    assert "prefix+, anaconda+, quetz+" in caught.value.hint
    assert "s3+ (MinIO" in caught.value.hint


@pytest.mark.parametrize("destination", ["conda-forge", "my-bucket/channel", "mypkg 2.1.*", "hull>=1.0"])
def test_no_folder_is_made_of_a_word_alone(destination: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a channel's name, or a spec in the wrong place; one that is there is meant, and so is ``./NAME``."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="is a folder that is not there") as caught:
        channel_for(destination)
    assert f"./{destination}" in caught.value.hint
    assert isinstance(channel_for(f"./{destination}"), LocalChannel)
    (tmp_path / destination).mkdir(parents=True)
    assert isinstance(channel_for(destination), LocalChannel)


def test_a_bucket_in_capitals_is_not_taken_for_another() -> None:
    """A host has no case, and a bucket has."""
    with pytest.raises(UsageError, match="lower case"):
        channel_for("s3://My_Bucket/chan")
    assert channel_for("s3+https://s3.example.com/My_Bucket/chan").url.endswith("/My_Bucket/chan")


@pytest.mark.parametrize(
    ("destination", "said"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("ftp://example.com/chan", "unknown scheme 'ftp'"),
        ("conda+https://example.com/chan", "unknown scheme"),
        ("quetz+ftp://example.com/chan", "unknown scheme"),
        ("local+https://example.com/chan", "unknown scheme"),
        ("localhost:8000/chan", "unknown scheme 'localhost'"),
        ("https://", "names no host"),
        ("https:///chan", "names no host"),
        ("https:/prefix.dev/chan", "names no host"),
        ("https:prefix.dev/chan", "names no host"),
        ("quetz+https://:8000/chan", "names no host"),
        ("https://prefix.dev", "names no channel"),
        ("quetz+https://example.com/", "names no channel"),
        ("https://anaconda.org", "names no owner"),
        ("https://anaconda.org/me/dev/more", "names no owner"),
        ("https://example.com/artifactory", "names no repository"),
        ("https://prefix.dev/my channel", "not a valid name"),
        ("https://prefix.dev/my%20channel", "not a valid name"),
        ("https://prefix.dev/..", "not a valid name"),
        ("https://prefix.dev/%2e%2e", "not a valid name"),
        ("https://prefix.dev/a/../b", "not a valid name"),
        ("https://prefix.dev/a%2Fb", "not a valid name"),
        ("https://prefix.dev/a%00b", "not a valid name"),
        ("https://prefix.dev/kanal-ä", "not a valid name"),
        ("https://prefix.dev/https://prefix.dev/chan", "not a valid name"),
        ("https://prefix.dev/chan?force=true", "query"),
        ("https://prefix.dev/chan#main", "fragment"),
        ("https://prefix.dev:port/chan", "not a valid URL"),
        ("https://prefix.dev:99999/chan", "not a valid URL"),
        ("https://[::1/chan", "not a valid URL"),
        ("quetz+https://ho st/chan", "no host"),
        ("quetz+https://ex%41mple.com/chan", "no host"),
        ("quetz+https://a..b/chan", "no host"),
        ("https://prefix.dev/my\nchannel", "line break"),
        ("https://prefix.dev/chan\r", "line break"),
        ("https://prefix.dev/my\tchannel", "line break"),
        ("file://elsewhere/share/chan", "another machine"),
    ],
)
def test_what_names_no_channel_is_wrong_usage(destination: str, said: str) -> None:
    """Each mistake is named; none of them becomes a request, or a folder."""
    with pytest.raises(UsageError, match=said):
        channel_for(destination)


@pytest.mark.parametrize(
    ("destination", "said", "hint"),
    [
        ("s3:acme", "s3:acme names no bucket", "s3://BUCKET/CHANNEL"),
        ("s3://", "s3:// names no bucket", "s3://BUCKET/CHANNEL"),
        ("gcs:///ch", "gcs:///ch names no bucket", "gs://BUCKET/CHANNEL"),
        ("az://", "az:// names no account", "az://ACCOUNT/CONTAINER/CHANNEL"),
        ("r2://acme/ch", "unknown scheme 'r2'", "s3+https://HOST/BUCKET/CHANNEL"),
        ("minio+https://m.example/acme", "unknown scheme 'minio+https'", "s3+https://HOST/BUCKET/CHANNEL"),
        ("b2://acme", "unknown scheme 'b2'", "s3+https://HOST/BUCKET/CHANNEL"),
        ("foo://x", "unknown scheme 'foo'", "quetz+https://HOST/CHANNEL"),
        ("foo://x", "unknown scheme 'foo'", "s3://BUCKET/CHANNEL, gs://BUCKET/CHANNEL, az://ACCOUNT/CONTAINER/CHANNEL"),
        ("s3://acme/ch/noarch", "is a subdir of a channel", "/noarch"),
        ("s3+https://m.example/acme/linux-64", "is a subdir of a channel", "/linux-64"),
        ("gs://acme/ch/noarch/", "is a subdir of a channel", "/noarch"),
        ("az://acme/c/osx-arm64", "is a subdir of a channel", "/osx-arm64"),
        ("put+https://h.example/ch/noarch", "is a subdir of a channel", "/noarch"),
        ("s3://acme/noarch/demo-1.0-h0_0.conda", "is a package", "/noarch/demo-1.0-h0_0.conda"),
        ("put+https://h.example/ch/demo-1.0-0.tar.bz2", "is a package", "/demo-1.0-0.tar.bz2"),
    ],
)
def test_what_names_no_bucket_is_answered_with_what_would(destination: str, said: str, hint: str) -> None:
    """In the words of buckets; nothing is published beside where readers look for it."""
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        channel_for(destination)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("destination", "instead"),
    [
        ("https://acme.s3.eu-central-1.amazonaws.com/ch", "s3://acme/ch, with --region eu-central-1"),
        ("https://s3.us-gov-west-1.amazonaws.com/acme/ch", "s3://acme/ch, with --region us-gov-west-1"),
        ("https://s3.dualstack.eu-west-1.amazonaws.com/acme", "s3://acme, with --region eu-west-1"),
        ("https://my.bucket.s3.amazonaws.com/get/ch", "s3://my.bucket/get/ch"),
        ("https://acme.s3-website-us-east-1.amazonaws.com/ch", "s3://acme/ch, with --region us-east-1"),
        ("https://storage.googleapis.com/acme/ch", "gs://acme/ch"),
        ("https://acme.storage.googleapis.com/ch", "gs://acme/ch"),
        ("https://acme.blob.core.windows.net/packages/ch", "az://acme/packages/ch"),
        ("https://acme.blob.core.chinacloudapi.cn/c/ch", "az://acme.blob.core.chinacloudapi.cn/c/ch"),
        ("https://acme.r2.cloudflarestorage.com/b/ch", "s3+https://acme.r2.cloudflarestorage.com/b/ch"),
    ],
)
def test_the_web_address_of_a_bucket_is_answered_with_its_own(destination: str, instead: str) -> None:
    """Of the cloud's own hosts alone."""
    with pytest.raises(UsageError, match="is in a bucket") as caught:
        channel_for(destination)
    assert f"Write {instead}." in caught.value.hint
    elsewhere = re.sub(r"(?<=[a-z])/(?=[a-z])", ".acme.example/", destination, count=1).replace("/get/", "/")
    with pytest.raises(UsageError, match="which kind of server"):
        channel_for(elsewhere)


@pytest.mark.parametrize(
    "shape", ["https://ann:{}@prefix.dev/chan", "https://{}@prefix.dev/chan", "quetz+http://{}@h/c"]
)
def test_userinfo_is_refused_and_not_repeated(shape: str) -> None:
    """A password in a URL ends up in logs; it is not put into this one either."""
    with pytest.raises(UsageError, match="user name or password") as caught:
        channel_for(shape.format(leaks.new_secret("userinfo")))
    leaks.check(f"{caught.value.message} {caught.value.hint}", "the error")


@pytest.mark.parametrize(
    ("destination", "folder"),
    [
        ("./chan", Path("chan")),
        ("../chan", Path("../chan")),
        ("/srv/chan", Path("/srv/chan")),
        ("./with space/and:colon", Path("with space/and:colon")),
        ("file:///srv/chan", Path("/srv/chan")),
        ("file://localhost/srv/chan", Path("/srv/chan")),
        ("file:///srv/my%20chan", Path("/srv/my chan")),
        ("C:\\chan", Path("C:\\chan")),
        ("c:/chan", Path("c:/chan")),
    ],
)
def test_a_path_is_a_folder(destination: str, folder: Path) -> None:
    """Paths and ``file://`` are folders; one letter in front of a colon is a drive, not a scheme."""
    target = parse_target(destination, REMOTE)
    assert (target.scheme, target.folder) == ("file", folder)
    assert isinstance(channel_for(destination), LocalChannel)


def test_home_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A ``~`` that no shell has replaced is the user's home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert parse_target("~/chan", REMOTE).folder == tmp_path / "chan"


@given(HOSTS, PORTS, st.lists(NAMES, max_size=4), st.sampled_from(["https", "http"]))
def test_a_url_goes_round(host: str, port: str, names: list[str], scheme: str) -> None:
    """Taking a URL apart and putting it together again gives the same URL."""
    url = "/".join([f"{scheme}://{host}{port}", *names])
    target = parse_target(url, REMOTE)
    assert target.base(len(names)) == url
    assert target.segments == tuple(names)
    assert check_server(url) == url


@given(NAMES, NAMES, HOSTS, PORTS)
def test_every_legal_name_is_kept(base: str, name: str, host: str, port: str) -> None:
    """No kind of channel changes a name on its way into a URL."""
    server = f"https://{host}{port}"
    assert channel_for(f"prefix+{server}/{name}").url == f"{server}/{name}"
    assert PrefixChannel(name, url=server).url == f"{server}/{name}"
    assert QuetzChannel(name, url=f"{server}/{base}").url == f"{server}/{base}/get/{name}"
    assert ArtifactoryChannel(name, url=f"{server}/{base}").url == f"{server}/{base}/{name}"
    assert channel_for(f"artifactory+{server}/x-{base}/{name}").url == f"{server}/x-{base}/{name}"


@given(st.text(max_size=30))
def test_no_destination_breaks_anything(text: str) -> None:
    """Whatever is typed as the address of a server, it is a channel that requests can be sent to, or wrong usage."""
    for destination in (f"quetz+https://{text}", f"quetz+https://example.com/{text}", f"https://{text}/chan"):
        try:
            assert httpx2.URL(channel_for(destination).url).host
        except UsageError as error:
            assert error.message  # noqa: PT017 - both ends are good


@given(st.text(min_size=1, max_size=30))
def test_names_are_letters_digits_and_four_marks(name: str) -> None:
    """Everything else is refused, so that a name can stand in any URL and any path."""
    legal = set(name) <= set(string.ascii_letters + string.digits + "._~-") and name not in {".", ".."}
    if legal:
        assert check_name(name, "the channel") == name
    else:
        with pytest.raises(UsageError):
            check_name(name, "the channel")


@pytest.mark.parametrize("name", ["https://prefix.dev/chan", "", ".", "..", "a b", "a/b", "a\n", "-\x1b[31m"])
def test_a_channel_option_takes_a_name(name: str) -> None:
    """``--channel`` with a URL, a path or nothing in it is wrong usage."""
    with pytest.raises(UsageError):
        QuetzChannel(name, url="https://example.com")


def test_a_url_as_a_channel_name_is_answered_with_the_right_option() -> None:
    """Giving the whole URL as the channel is the usual mistake."""
    with pytest.raises(UsageError, match="a name, not a URL") as caught:
        QuetzChannel("https://example.com/get/chan", url="https://example.com")
    assert "--url" in caught.value.hint


@pytest.mark.parametrize(
    "url", ["example.com", "https://[::1", "ftp://example.com", "quetz+https://example.com", "file:///srv", "", "//h"]
)
def test_the_address_of_a_server_is_http(url: str) -> None:
    """``--url`` takes nothing but http and https, and says so."""
    with pytest.raises(UsageError, match="http"):
        check_server(url)
