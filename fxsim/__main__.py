"""`python -m fxsim`: the command line, without the installed script."""

from fxsim.cli import main

main()
