"""`fxsim certify`: a certificate of a sign-off's record, signed where a key is given."""

from pathlib import Path

import click

from fxsim.cli.console import print_json, refuse_overwriting, say

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("certify")
@click.argument("record", required=False, type=_FILE)
@click.option("-o", "--output", type=_FILE, metavar="FILE", help="Where to write it.  [default: certificate.json]")
@click.option("--key", type=_FILE, metavar="PEM", help="The private key (Ed25519) to sign it with.")
@click.option(
    "--root", type=click.Path(path_type=Path, file_okay=False), default=Path(), metavar="DIR",
    help="The folder that all lies in that is covered; names are relative to it.  [default: this folder]",
)  # fmt: skip
@click.option("--plan", type=_FILE, metavar="FILE", help="The plan.  [default: the one that the record names]")
@click.option(
    "--also", multiple=True, type=click.Path(path_type=Path), metavar="PATH",
    help="Cover this file or folder, too, such as the evidence of proofs; may be given several times.",
)  # fmt: skip
@click.option(
    "--new-key", type=_FILE, metavar="FILE", help="Make a private key, and the public one in FILE.pub, and stop."
)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of certificates and stop.")
def command(
    record: Path | None,
    output: Path | None,
    key: Path | None,
    root: Path,
    plan: Path | None,
    also: tuple[Path, ...],
    new_key: Path | None,
    schema: bool,
) -> None:
    """Write a certificate of the RECORD of a sign-off that passed: hashes of what it stands on, and its findings.

    Refused is a record that did not pass, is not complete, is of chosen checks alone, or of other files than are there
    now.
    """
    from fxsim.certificate import make_certificate, predicate_schema, seal
    from fxsim.certificate import new_key as make_key
    from fxsim.certificate.statement import encode_statement
    from fxsim.formats import atomic_write

    if schema:
        print_json(predicate_schema())
        return
    if new_key is not None:
        if record is not None:
            raise click.UsageError("--new-key makes a key and nothing else: give no RECORD")
        say(f"written: {new_key} (private: keep it), {new_key}.pub (public); its id is {make_key(new_key)}")
        return
    if record is None:
        raise click.UsageError("give the RECORD of a sign-off, as reports/signoff.json")
    output = output or Path("certificate.json")
    refuse_overwriting(output, [path for path in (record, key, plan) if path is not None])
    certificate = make_certificate(record, root, plan, also)
    data = encode_statement(certificate)
    with atomic_write(output) as file:
        file.write_bytes(data if key is None else seal(data, key))
    signed = "signed" if key is not None else "not signed"
    say(f"written: {output}, {signed}; {len(certificate.subject):,} files are covered")
    for what in certificate.predicate.not_covered:
        say(f"not covered: {what}")
