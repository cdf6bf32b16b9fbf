"""Pages of HTML: the templates of a folder, with every text in them escaped, since names come from files."""

from pathlib import Path

import jinja2


def page_templates(folder: Path) -> jinja2.Environment:
    """The templates of a folder. Texts are escaped; a name that a template uses and nobody gave is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
