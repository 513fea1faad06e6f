"""Help, version and completion: what a first-time user meets, from an empty environment."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

import keelback
from cli_runner import run_keelback
from keelback.errors import ExitStatus

UPLOADS = ["prefix", "anaconda", "quetz", "artifactory", "s3", "cloudsmith", "conda-forge"]
COMMANDS = [["publish"], ["upload"], ["check"], ["completion"], *(["upload", name] for name in UPLOADS)]
RUN_OPTIONS = [
    "--dry-run", "--skip-existing", "--force", "--jobs", "--verify", "--verify-timeout", "--subdir", "--auth-file",
    "--allow-insecure-host", "--timeout", "--retries", "--json", "--no-progress", "--quiet", "--verbose",
]  # fmt: skip


def help_of(*command: str) -> str:
    """What ``--help`` of a command prints."""
    done = run_keelback([*command, "--help"])
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(command: list[str]) -> None:
    """Help goes to standard output, fits the terminal, says how the command is called, and shows one."""
    text = help_of(*command)
    assert text.startswith(f"Usage: keelback {' '.join(command)} ")
    assert max(map(len, text.splitlines())) <= 120
    if command != ["upload"]:
        assert re.search(rf"^  .*keelback {' '.join(command)} .+", text, re.MULTILINE)


def test_the_root_help_names_every_command() -> None:
    """Without a command, and with ``--help`` or ``-h``, a user learns what there is."""
    text = help_of()
    for name in ("publish", "upload", "fetch", "copy", "index", "check", "completion"):
        assert re.search(rf"^  {name} ", text, re.MULTILINE)
    assert run_keelback(["-h"]).stdout == text


def test_no_command_at_all_shows_the_help() -> None:
    """The first thing that people type."""
    done = run_keelback([])
    assert "Usage: keelback" in done.stdout + done.stderr
    assert "publish" in done.stdout + done.stderr


@pytest.mark.parametrize("command", [["publish"], *(["upload", name] for name in UPLOADS)], ids=" ".join)
def test_every_sending_command_takes_the_same_options(command: list[str]) -> None:
    """Who knows one of them knows them all."""
    text = help_of(*command)
    for option in RUN_OPTIONS:
        if option == "--force" and command == ["upload", "conda-forge"]:
            continue  # conda-forge never replaces anything
        assert re.search(rf"(^|\s){option}\b", text), option


@pytest.mark.parametrize("command", [["publish"], ["fetch"], *(["upload", name] for name in UPLOADS)], ids=" ".join)
def test_options_are_listed_in_sections(command: list[str]) -> None:
    """Forty of them in one list would not be read; what a command alone has comes first."""
    headings = re.findall(r"^(\w[\w ]+):$", help_of(*command).split("\nOptions:\n")[1], re.MULTILINE)
    sections = {"What is transferred", "Credentials", "Trusted publishing", "Attestations", "Connection", "Output"}
    if command in (["publish"], ["fetch"], ["upload", "s3"]):
        sections |= {"Buckets"}
    assert set(headings) == sections
    assert len(headings) == len(sections)


@pytest.mark.parametrize("command", ["publish", "fetch", "copy", "index", "upload s3", "auth login"])
def test_the_url_of_a_bucket_elsewhere_is_shown(command: str) -> None:
    """MinIO, R2 and Ceph are named with their host."""
    assert "s3+https://" in help_of(*command.split())


def test_what_is_there_for_old_scripts_alone_is_not_shown() -> None:
    """One option in the help for one thing; rattler-build's name for it goes on working."""
    assert "--generate-attestation" not in help_of("upload", "prefix")
    done = run_keelback(["upload", "prefix", "-c", "my-channel", "--generate-attestation", "no-such-file"])
    assert "no-such-file" in done.stderr


def test_the_help_of_publish_tells_the_exit_statuses() -> None:
    """All of them, by number."""
    text = " ".join(help_of("publish").split("Exit status:")[1].split())
    for status in ExitStatus:
        assert re.search(rf"\b{status.value} ", text), status


RATTLER_BUILD = {
    "prefix": "-u, --url|-c, --channel|-a, --api-key|PREFIX_SERVER_URL|PREFIX_CHANNEL|PREFIX_API_KEY",
    "anaconda": "-u, --url|-o, --owner|-c, --channel|-a, --api-key|-f, --force"
    "|ANACONDA_SERVER_URL|ANACONDA_OWNER|ANACONDA_CHANNEL|ANACONDA_API_KEY|ANACONDA_FORCE",
    "quetz": "-u, --url|-c, --channel|-a, --api-key|QUETZ_SERVER_URL|QUETZ_CHANNEL|QUETZ_API_KEY",
    "s3": "-c, --channel|--endpoint-url|--region|--access-key-id|--secret-access-key|--session-token|--addressing-style"
    "|--force-path-style|S3_FORCE_PATH_STYLE|--force|S3_CHANNEL|S3_ENDPOINT_URL|S3_REGION|S3_ACCESS_KEY_ID|S3_SECRET_ACCESS_KEY|S3_SESSION_TOKEN"
    "|S3_ADDRESSING_STYLE",
    "cloudsmith": "-o, --owner|-r, --repo|-a, --api-key|-u, --url"
    "|CLOUDSMITH_OWNER|CLOUDSMITH_REPO|CLOUDSMITH_API_KEY|CLOUDSMITH_API_URL",
    "conda-forge": "--staging-token|--feedstock|--feedstock-token|--staging-channel|--anaconda-url"
    "|--validation-endpoint|--provider|--dry-run|STAGING_BINSTAR_TOKEN|FEEDSTOCK_NAME|FEEDSTOCK_TOKEN|STAGING_CHANNEL|ANACONDA_SERVER_URL"
    "|VALIDATION_ENDPOINT|CI|DRY_RUN",
    "artifactory": "-u, --url|-c, --channel|--username|--password|-t, --token"
    "|ARTIFACTORY_SERVER_URL|ARTIFACTORY_CHANNEL|ARTIFACTORY_USERNAME|ARTIFACTORY_PASSWORD|ARTIFACTORY_TOKEN",
}


@pytest.mark.parametrize("name", RATTLER_BUILD)
def test_upload_has_the_options_and_variables_of_rattler_build(name: str) -> None:
    """Scripts with ``rattler-build upload`` in them go on working (rattler_upload, cli_opt.rs)."""
    text = help_of("upload", name)
    for each in RATTLER_BUILD[name].split("|"):
        assert each in text


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_one_line(flag: str) -> None:
    """Scripts ask this often, so nothing else is printed."""
    done = run_keelback([flag])
    assert (done.returncode, done.stdout, done.stderr) == (0, f"keelback {keelback.__version__}\n", "")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["publsh"], "No such command 'publsh'"),
        (["publsh"], "Did you mean 'keelback publish'?"),
        (["login", "prefix.dev"], "Write 'keelback auth login HOST'."),
        (["whoami"], "Write 'keelback auth check HOST'."),
        (["auth", "list"], "Write 'keelback auth status'."),
        (["auth", "lgin", "prefix.dev"], "Did you mean 'keelback auth login'?"),
        (["zebra"], "The commands of 'keelback' are publish, "),
        (["publish", "--tow", "chan", "x.conda"], "No such option"),
        (["publish", "x.conda"], "Missing option '--to'"),
        (["publish", "--to", "chan"], "Missing argument 'PATHS...'"),
        (["publish", "--to", "chan", "--jobs", "0", "x.conda"], "--jobs"),
        (["publish", "--to", "chan", "--timeout", "0", "x.conda"], "--timeout"),
        (["upload", "quetz", "-c", "chan", "x.conda"], "QUETZ_SERVER_URL"),
        (["completion", "tcsh"], "'tcsh'"),
    ],
)
def test_wrong_usage_is_told_on_standard_error(args: list[str], said: str) -> None:
    """Exit status 2, one message, nothing on standard output, and no traceback."""
    done = run_keelback(args)
    assert (done.returncode, done.stdout) == (ExitStatus.USAGE, "")
    assert said in done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, tmp_path) -> None:
    """Each shell gets a script that asks keelback, and accepts it where the shell is there to be asked."""
    done = run_keelback(["completion", shell])
    assert done.returncode == 0
    assert "_KEELBACK_COMPLETE" in done.stdout
    if program := shutil.which(shell):
        script = tmp_path / "completion"
        script.write_text(done.stdout, encoding="utf-8")
        checked = subprocess.run([program, "-n", str(script)], capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_completion_completes() -> None:
    """What the script asks for is answered with the commands."""
    env = {"_KEELBACK_COMPLETE": "bash_complete", "COMP_WORDS": "keelback pu", "COMP_CWORD": "1"}
    assert run_keelback([], env=env).stdout.split() == ["plain,publish"]


def test_completion_of_files_and_options() -> None:
    """Options of a command complete as well."""
    env = {"_KEELBACK_COMPLETE": "bash_complete", "COMP_WORDS": "keelback publish --skip", "COMP_CWORD": "2"}
    assert "plain,--skip-existing" in run_keelback([], env=env).stdout.split()
