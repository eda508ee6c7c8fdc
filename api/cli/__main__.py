"""Entry of `python -m api.cli`."""

from api.cli.main import app

app(prog_name="carillon")
