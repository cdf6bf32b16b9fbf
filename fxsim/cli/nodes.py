"""The output of `fxsim cosim --nodes`: a table of every node, and the first difference of each that is wrong."""

import click

from fxsim.cli.console import counted, print_table, say
from fxsim.cosim.nodes import NodesResult


def print_nodes(result: NodesResult) -> None:
    """Print a table, a line for each node that did not pass, and the verdict."""
    say(f"{result.model}: {result.images:,} images, accelerator {result.accel}, node by node, stalls {result.stall}")
    rows = [
        (
            node.tap if len(node.part) == 1 else f"{node.part[0]} to {node.tap}",
            node.compared,
            node.differ,
            "-" if node.largest is None else f"{node.largest:g}",
            "-" if node.interval_cycles is None else f"{node.interval_cycles:,}",
            "passed" if node.passed else "FAILED",
        )
        for node in result.nodes
    ]
    print_table("", ("node", "compared", "differ", "largest", "cycles", ""), rows)
    if result.missing:
        say(f"without a module of their own: {', '.join(result.missing)}")
    wrong = [node for node in result.nodes if not node.passed]
    for node in wrong:
        say(f"FAILED: {node.tap}: {node.reason}")
    if wrong:
        click.echo(f"FAILED: {len(wrong)} of {counted(len(result.nodes), 'node')} wrong, each given the right values")
    else:
        click.echo(f"PASSED: {counted(len(result.nodes), 'node')}, every value equal")
