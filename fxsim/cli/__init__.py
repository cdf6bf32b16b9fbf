"""The command line. Little is imported here, so that Ctrl-C finds a program that can hear it from the beginning."""

import os
from typing import NoReturn


def main(args: list[str] | None = None) -> NoReturn:
    """Entry point: run the command line, by default this process's, and exit with its status."""
    try:
        from fxsim.process import end_at_once

        if args is None:
            end_at_once()
        from fxsim.cli.program import run
    except KeyboardInterrupt:
        os.write(2, b"fxsim: interrupted\n")
        os._exit(130)
    run(args)
