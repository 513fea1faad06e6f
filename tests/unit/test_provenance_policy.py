"""Whose signature is wanted, and who signed."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from keelback.errors import AttestationError, UsageError
from keelback.provenance.certificate import Signer
from keelback.provenance.policy import GITHUB, GITLAB, Policy

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
COMMIT = "2b1f0c5d8a4e3b6f9c7d0e1a2b3c4d5e6f708192"
WORKFLOW = "https://github.com/acme/foo/.github/workflows/release.yml@refs/tags/v1"
ARC = "1.3.6.1.4.1.57264.1"

ON_GITHUB = Signer(
    name=WORKFLOW,
    issuer=GITHUB,
    source_uri="https://github.com/acme/foo",
    source_digest=COMMIT,
    source_ref="refs/tags/v1",
    owner_uri="https://github.com/acme",
    config_uri=WORKFLOW,
    issued=NOW,
    expires=NOW,
)
ON_GITLAB = Signer(
    name="https://gitlab.com/grp/sub/proj//.gitlab-ci.yml@refs/heads/main",
    issuer=GITLAB,
    source_uri="https://gitlab.com/grp/sub/proj",
    source_digest=COMMIT,
    source_ref="refs/heads/main",
    config_uri="https://gitlab.com/grp/sub/proj//.gitlab-ci.yml@refs/heads/main",
    issued=NOW,
    expires=NOW,
)
PERSON = Signer(name="ann@example.com", issuer="https://accounts.google.com", issued=NOW, expires=NOW)
SHARED = "https://github.com/shared/ci/.github/workflows/publish.yml@refs/heads/main"
"""A public workflow, which anybody may have run."""
OWN_GITHUB = replace(
    ON_GITHUB,
    name=WORKFLOW.replace("github.com", "git.example.com"),
    issuer="https://git.example.com/_services/token",
    source_uri="https://git.example.com/acme/foo",
    owner_uri="https://git.example.com/acme",
    config_uri=WORKFLOW.replace("github.com", "git.example.com"),
)
OWN_SERVER = replace(
    ON_GITLAB, issuer="https://git.example.com", source_uri="https://git.example.com/grp/proj", config_uri=None
)


@pytest.mark.parametrize(
    ("policy", "signer"),
    [
        ("repo:acme/foo", ON_GITHUB),
        ("repo:Acme/FOO", ON_GITHUB),
        ("repo:https://github.com/acme/foo/", ON_GITHUB),
        ("repo:https://GitHub.com/acme/foo.git", ON_GITHUB),
        ("owner:acme", ON_GITHUB),
        ("owner:https://github.com/ACME,workflow:release.yml", ON_GITHUB),
        ("repo:acme/foo,workflow:.github/workflows/release.yml", ON_GITHUB),
        ("project:https://gitlab.com/grp/sub/proj", ON_GITLAB),
        (f"repo:acme/foo,issuer:{GITHUB}", ON_GITHUB),
        ("repo:acme/foo,workflow:release.yml,ref:refs/tags/v1", ON_GITHUB),
        (" repo: acme/foo , workflow: release.yml ", ON_GITHUB),
        (f"identity:{WORKFLOW},issuer:{GITHUB}", ON_GITHUB),
        (f"identity:{WORKFLOW},repo:acme/foo", ON_GITHUB),
        ("repo:acme/foo,workflow:release.yml", replace(ON_GITHUB, config_uri=WORKFLOW.replace("refs/tags/v1", COMMIT))),
        ("project:grp/sub/proj", ON_GITLAB),
        ("project:GRP/sub/Proj,workflow:.gitlab-ci.yml", ON_GITLAB),
        ("project:grp/proj,issuer:https://git.example.com", OWN_SERVER),
        ("identity:ann@example.com,issuer:https://accounts.google.com", PERSON),
        ("identity:ann@example.com,issuer:https://accounts.google.com/", PERSON),
        (
            "identity:ann@example.com,issuer:https://idp.example/",
            replace(PERSON, issuer="https://idp.example/"),
        ),
        ("project:grp/proj,issuer:https://git.example.com/", OWN_SERVER),
        (f"repo:acme/foo,issuer:{GITHUB}/", ON_GITHUB),
        (f"identity:{SHARED},repo:acme/foo", replace(ON_GITHUB, name=SHARED, signer_uri=SHARED)),
        (f"identity:{SHARED},owner:acme", replace(ON_GITHUB, name=SHARED, signer_uri=SHARED)),
        ("repo:acme/foo,trigger:push", replace(ON_GITHUB, trigger="push")),
        ("repo:acme/foo,trigger:pull_request_target", replace(ON_GITHUB, trigger="pull_request_target")),
        ("repo:https://git.example.com/Acme/foo,issuer:https://git.example.com/_services/token", OWN_GITHUB),
        (
            "owner:https://git.example.com/acme,workflow:release.yml,issuer:https://git.example.com/_services/token",
            OWN_GITHUB,
        ),
    ],
)
def test_the_one_who_is_wanted_passes(policy, signer):
    """By repository, project, workflow, branch or name."""
    Policy.parse(policy).check(signer, "demo.conda")


@pytest.mark.parametrize(
    ("policy", "signer", "code", "what"),
    [
        ("repo:acme/bar", ON_GITHUB, "attestation-identity", "repository"),
        ("repo:acme/fo", ON_GITHUB, "attestation-identity", "repository"),
        ("repo:acme/foo", replace(ON_GITHUB, source_uri=None), "attestation-identity", "names no repository"),
        ("repo:acme/foo", replace(ON_GITHUB, source_uri="https://github.com/acme/foo/"), "attestation-identity", ""),
        ("repo:acme/foo", replace(ON_GITHUB, issuer="https://evil.example"), "attestation-issuer", "evil.example"),
        ("repo:acme/foo", replace(ON_GITHUB, issuer=GITHUB + "/"), "attestation-issuer", "issuer"),
        ("repo:acme/foo", replace(ON_GITHUB, issuer=None), "attestation-issuer", "issuer"),
        ("repo:grp/proj", ON_GITLAB, "attestation-issuer", "issuer"),
        ("project:grp/sub/proj", ON_GITHUB, "attestation-issuer", "issuer"),
        ("project:grp/sub", ON_GITLAB, "attestation-identity", "repository"),
        ("project:grp/proj", OWN_SERVER, "attestation-issuer", "git.example.com"),
        ("owner:acm", ON_GITHUB, "attestation-identity", "somebody else signed it: the owner is"),
        ("owner:acme", replace(ON_GITHUB, owner_uri=None), "attestation-identity", "names no owner"),
        ("owner:acme", replace(ON_GITHUB, owner_uri="https://evil.example/acme"), "attestation-identity", "owner"),
        ("owner:grp", ON_GITLAB, "attestation-issuer", "issuer"),
        ("repo:acme/bar,workflow:other.yml", ON_GITHUB, "attestation-identity", "somebody else signed it"),
        ("repo:acme/foo,workflow:other.yml", ON_GITHUB, "attestation-identity", "another workflow signed it"),
        ("repo:acme/foo,workflow:RELEASE.yml", ON_GITHUB, "attestation-identity", "workflow"),
        ("repo:acme/foo,workflow:elease.yml", ON_GITHUB, "attestation-identity", "workflow"),
        ("repo:acme/foo,ref:refs/heads/main", ON_GITHUB, "attestation-identity", "it was signed for another ref"),
        (f"identity:{WORKFLOW}x,issuer:{GITHUB}", ON_GITHUB, "attestation-identity", "identity"),
        ("identity:ANN@example.com,issuer:https://accounts.google.com", PERSON, "attestation-identity", "identity"),
        ("identity:ann@example.com,issuer:https://evil.example", PERSON, "attestation-issuer", "issuer"),
        (
            "repo:acme/foo,trigger:push",
            replace(ON_GITHUB, trigger="workflow_dispatch"),
            "attestation-identity",
            "something else started it: the trigger is 'workflow_dispatch'",
        ),
        ("repo:acme/foo,trigger:push", ON_GITHUB, "attestation-identity", "names no trigger"),
        (
            "project:acme/foo",
            replace(ON_GITLAB, source_uri="https://gitlab.com/ac\u212ae/foo"),
            "attestation-identity",
            "repository",
        ),
        ("repo:acme/foo", OWN_GITHUB, "attestation-issuer", "git.example.com"),
        (
            "repo:https://git.example.com/acme/foo,issuer:https://git.example.com/_services/token",
            replace(OWN_GITHUB, source_uri="https://github.com/acme/foo"),
            "attestation-identity",
            "repository",
        ),
    ],
)
def test_anybody_else_is_refused_with_the_reason(policy, signer, code, what):
    """What is wrong is said, and what it has to be."""
    with pytest.raises(AttestationError, match=r"demo\.conda: ") as caught:
        Policy.parse(policy).check(signer, "demo.conda")
    assert caught.value.code == code
    assert what in caught.value.message


@pytest.mark.parametrize(
    "uri",
    [
        None,
        "release.yml",
        "https://github.com/evil/foo/.github/workflows/release.yml@refs/tags/v1",
        "https://github.com/acme/foo/.github/workflows/release.yml@refs/tags/v2",
        "https://github.com/acme/foo/.github/workflows/release.yml",
        "https://github.com/acme/foo/.github/workflows/x/release.yml@refs/tags/v1",
        "https://github.com/acme/foo-evil/.github/workflows/release.yml@refs/tags/v1",
    ],
)
def test_a_workflow_is_that_of_its_own_repository_in_the_version_that_ran(uri):
    """A file of the same name elsewhere, or of another version than the certificate names, is another workflow."""
    with pytest.raises(AttestationError, match="workflow"):
        Policy.parse("repo:acme/foo,workflow:release.yml").check(replace(ON_GITHUB, config_uri=uri), "demo.conda")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty part"),
        (",", "empty part"),
        ("repo:acme/foo,", "empty part"),
        ("repository:acme/foo", "'repository' is not a key"),
        ("Repo:acme/foo", "'Repo' is not a key"),
        ("repo:", "repo has no value"),
        ("repo:acme", "OWNER/NAME"),
        ("repo:acme/foo/bar", "OWNER/NAME"),
        ("repo:acme/foo,repo:acme/foo", "repo is there twice"),
        ("repo:acme/foo,project:grp/proj", "both repo"),
        ("repo:acme/foo,owner:acme", "both repo and owner"),
        ("owner:acme/foo", "owner is one name"),
        ("owner:acme,issuer:https://gitlab.com", "another issuer"),
        ("owner:acme,workflow:ci/release.yml", "a file in .github/workflows/"),
        ("repo:https://git.example.com/acme", "OWNER/NAME"),
        ("repo:acme/foo,issuer:https://gitlab.com", "another issuer"),
        ("project:proj", "GROUP/PROJECT"),
        ("workflow:release.yml", "none of repo, owner, project and identity"),
        (f"issuer:{GITHUB}", "none of repo, owner, project and identity"),
        ("identity:ann@example.com", "without the issuer"),
        ("identity:ann@example.com,issuer:http://accounts.google.com", "https URL"),
        ("identity:ann@example.com,issuer:https://", "https URL"),
        ("identity:ann@example.com,issuer:https://ann@example.com", "https URL"),
        ("identity:ann@example.com,issuer:https://example.com?x", "https URL"),
        ("identity:ann@example.com,issuer:https://ex\u0430mple.com", "https URL"),
        ("project:ac\u212ame/foo", "GROUP/PROJECT"),
        (f"repo:https://git.example.com/acme/foo,issuer:{GITHUB}", "another server than github.com"),
    ],
)
def test_a_policy_that_would_let_anybody_pass_or_says_nothing_clear_is_refused(text, why):
    """The hint has the grammar."""
    with pytest.raises(UsageError) as caught:
        Policy.parse(text)
    assert why in caught.value.message
    assert "repo:OWNER/NAME" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("acme/foo", "Write repo:acme/foo "),
        ("https://github.com/acme/foo,workflow:release.yml", "Write repo:acme/foo "),
        ("repo:https://git.example.com/acme/foo", "Add issuer:https://HOST/_services/token "),
        ("repo:acme/foo,ref:v1", "Write ref:refs/tags/v1 for a tag, or ref:refs/heads/v1 for a branch."),
    ],
)
def test_what_no_certificate_has_is_refused_with_what_was_meant(text, hint):
    """A short name would never match, and an attestation that is good would be called somebody else's."""
    with pytest.raises(UsageError) as caught:
        Policy.parse(text)
    assert hint in caught.value.hint


@pytest.mark.parametrize("field", ["repo", "owner", "project", "workflow", "ref", "trigger", "issuer", "identity"])
def test_an_empty_value_is_none(field):
    """Which a certificate might have, too."""
    with pytest.raises(UsageError, match=f"{field} has no value"):
        Policy(**{"identity": "ann@example.com", "issuer": "https://accounts.google.com", field: ""})


@pytest.mark.parametrize("ref", ["refs/tags/demo@1.0.0", "refs/heads/release@2", "refs/tags/@"])
@pytest.mark.parametrize("separator", ["@", "@refs/heads/main@"])
def test_a_ref_may_have_an_at_sign_in_its_name(ref, separator):
    """As tags of one package among several have it; what comes before the whole ref is the file, and no less."""
    uri = f"https://github.com/acme/foo/.github/workflows/release.yml{separator}{ref}"
    signer = replace(ON_GITHUB, name=uri, source_ref=ref, config_uri=uri)
    wanted = Policy.parse("repo:acme/foo,workflow:release.yml")
    if separator == "@":
        wanted.check(signer, "demo.conda")
    else:
        with pytest.raises(AttestationError, match="another workflow"):
            wanted.check(signer, "demo.conda")


@pytest.mark.parametrize(
    "policy", ["repo:acme/foo", "owner:acme,workflow:release.yml", f"identity:{WORKFLOW},issuer:{GITHUB}"]
)
def test_a_run_that_anybody_can_start_counts_only_where_it_is_asked_for(policy):
    """A pull request from a fork runs it with the identity of the branch that it is for."""
    by_anybody = replace(ON_GITHUB, trigger="pull_request_target")
    with pytest.raises(AttestationError, match="anybody can start") as caught:
        Policy.parse(policy).check(by_anybody, "demo.conda")
    assert caught.value.code == "attestation-identity"
    assert "trigger:pull_request_target" in caught.value.hint
    Policy.parse(f"{policy},trigger:pull_request_target").check(by_anybody, "demo.conda")


@pytest.mark.parametrize("source", ["https://github.com/evil/foo", None])
def test_the_name_of_a_workflow_does_not_say_who_had_it_run(source):
    """A certificate names the workflow whose job signed; any repository may call it."""
    signer = replace(ON_GITHUB, name=SHARED, signer_uri=SHARED, source_uri=source)
    with pytest.raises(AttestationError, match="another repository had this workflow run") as caught:
        Policy.parse(f"identity:{SHARED},issuer:{GITHUB}").check(signer, "demo.conda")
    assert caught.value.code == "attestation-identity"
    assert "repo:OWNER/NAME,identity:NAME" in caught.value.hint


def test_only_a_repository_on_github_com_is_one_there():
    """Its attestations may be kept there; nobody is asked for those of another server."""
    assert Policy.parse("repo:https://github.com/acme/foo").on_github_com == "acme/foo"
    elsewhere = "repo:https://git.example.com/acme/foo,issuer:https://git.example.com/_services/token"
    assert Policy.parse(elsewhere).on_github_com is Policy.parse("owner:acme").on_github_com is None


def test_a_policy_reads_what_it_writes():
    """In the order of the grammar."""
    text = f"repo:acme/foo,workflow:release.yml,ref:refs/tags/v1,trigger:push,issuer:{GITHUB},identity:{WORKFLOW}"
    assert str(Policy.parse(text)) == text


def certificate(extensions, names=None):
    """A certificate with these extensions of Fulcio's, as raw bytes by number."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(minutes=10))
    )
    for number, raw in extensions.items():
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(f"{ARC}.{number}"), raw)
        builder = builder.add_extension(extension, critical=False)
    if names != []:
        names = names or [x509.UniformResourceIdentifier(WORKFLOW)]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    return builder.sign(key, hashes.SHA256())


def test_who_signed_is_read_from_the_certificate():
    """Long values, too, whose length takes more than a byte."""
    long = "https://example.com/" + "x" * 300
    signer = Signer.of(certificate({8: b"\x0c\x03abc", 12: b"\x0c\x82\x01\x40" + long.encode(), 20: b"\x0c\x00"}))
    assert (signer.name, signer.issuer, signer.source_uri, signer.trigger) == (WORKFLOW, "abc", long, "")
    assert (signer.source_ref, signer.issued) == (None, NOW)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x0c",
        b"\x0c\x04abc",
        b"\x0c\x02abc",
        b"\x13\x03abc",
        b"abc",
        b"\x0c\x81\x03abc",
        b"\x0c\x01\xff",
        b"\x0c\x80abc",
        b"\x0c\x82\x00\x03abc",
        b"\x0c\x84\xff\xff\xff\xffabc",
    ],
)
def test_an_extension_that_is_no_utf8_string_is_refused(raw):
    """What one reader takes for a name must not be another name to the next."""
    with pytest.raises(AttestationError, match="UTF") as caught:
        Signer.of(certificate({8: raw}))
    assert caught.value.code == "attestation-certificate"


@pytest.mark.parametrize(
    "names",
    [
        [],
        [x509.DNSName("example.com")],
        [x509.UniformResourceIdentifier("")],
        [x509.UniformResourceIdentifier(WORKFLOW), x509.RFC822Name("a@example.com")],
    ],
)
def test_a_certificate_names_one_identity(names):
    """None, of a kind that Sigstore does not give, an empty one, or two: refused."""
    with pytest.raises(AttestationError) as caught:
        Signer.of(certificate({}, names))
    assert caught.value.code == "attestation-certificate"


@pytest.mark.parametrize(
    "name",
    [
        x509.RFC822Name("ann@example.com"),
        x509.OtherName(x509.ObjectIdentifier(f"{ARC}.7"), b"\x0c\x03ann"),
    ],
)
def test_a_person_and_a_user_name_are_identities_too(name):
    """E-mail addresses, and what Sigstore calls other names."""
    assert "ann" in Signer.of(certificate({}, [name])).name
