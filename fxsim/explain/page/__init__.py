"""Pages that show why a trace differs: self-contained HTML, drawn from the result and the trace."""

from fxsim.explain.page.write import write_page

__all__ = ["write_page"]
