"""`fxsim check-certificate`: whether all that a certificate covers is as it was."""

from pathlib import Path

import click

from fxsim.cli.console import print_json, say

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("check-certificate")
@click.argument("certificate", type=_FILE)
@click.option("--key", type=_FILE, metavar="PUB", help="The public key that must have signed it.")
@click.option(
    "--root", type=click.Path(path_type=Path, file_okay=False), default=Path(), metavar="DIR",
    help="The folder that its names are relative to.  [default: this folder]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def command(certificate: Path, key: Path | None, root: Path, as_json: bool) -> None:
    """Check a CERTIFICATE: its form, its signature where --key is given, and every file that it covers.

    Exit status: 0 where nothing is changed, missing or added; 1 otherwise.
    """
    from fxsim.certificate import check_certificate

    checked = check_certificate(certificate, root, key)
    predicate = checked.certificate.predicate
    if as_json:
        print_json(
            {
                "passed": not checked.problems,
                "signers": checked.signers,
                "verified": checked.verified,
                "files": len(checked.certificate.subject),
                "problems": checked.problems,
                "not_covered": predicate.not_covered,
                "signoff": predicate.signoff,
            }
        )
    else:
        for problem in checked.problems:
            say(problem)
        if not checked.signers:
            say("it is not signed: whoever can write the file can write another one")
        elif not checked.verified:
            say(f"its signature was not looked at, for want of --key; it names {', '.join(checked.signers)}")
        else:
            say(f"signed by {key}")
        for what in predicate.not_covered:
            say(f"not covered: {what}")
        outcome = f"{len(checked.problems)} problem(s)" if checked.problems else "as they were"
        say(f"{predicate.signoff.title}: {len(checked.certificate.subject):,} files: {outcome}")
    if checked.problems:
        raise SystemExit(1)
