"""`bridge mappings schema`: the JSON Schema by which editors complete and check mapping files."""

from __future__ import annotations

from pathlib import Path

import click

from bridge.mapping.schema import COMMENT, FILE_NAME, schema_text


@click.command("schema")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file.")
def schema(output: Path | None) -> None:
    """Print the JSON Schema of mapping files, for editors.

    VS Code (with its YAML extension) and others find it by the first line of a mapping file, which names
    mapping.schema.json beside the file.
    """
    if output is None:
        click.echo(schema_text(), nl=False)
        return
    output.write_text(schema_text(), encoding="utf-8")
    click.echo(f"{output} is written; an editor finds it as ./{FILE_NAME} by this first line of a mapping: {COMMENT}")
