"""`python -m benchmarks [COMMAND]`: one command a file; without one, all in turn with their defaults.

The speed of the engines is `fxsim bench engine`'s.
"""

import os

# Before anything imports numpy: its threaded float products are many times slower than one thread on busy machines.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import click

from benchmarks.accuracy import accuracy
from benchmarks.distance import distance
from benchmarks.startup import startup


@click.group(invoke_without_command=True)
@click.pass_context
def benchmarks(context: click.Context) -> None:
    """Measure fxsim on this machine."""
    if context.invoked_subcommand is None:
        for command in (startup, distance):
            click.echo(f"--- python -m benchmarks {command.name}")
            context.invoke(command)


# accuracy takes hours: only when it is asked for.
for each in (startup, distance, accuracy):
    benchmarks.add_command(each)

if __name__ == "__main__":
    benchmarks(prog_name="python -m benchmarks")
