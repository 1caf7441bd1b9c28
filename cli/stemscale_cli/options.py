"""Options that several verbs share, each named once."""

from typing import Annotated

import typer

Store = Annotated[
    str,
    typer.Argument(
        metavar="STORE",
        help="Folder of the acquisition, or its URL, as s3://bucket/run.zarr.",
        show_default=False,
    ),
]

Fovs = Annotated[
    list[str] | None,
    typer.Option(
        "--fov", metavar="NAME", help="Only this field of view; may be repeated. [default: all]"
    ),
]

UntilIdle = Annotated[
    float | None,
    typer.Option(
        "--until-idle",
        metavar="SECONDS",
        min=0.0,
        help="End when no frame has come for so long.",
        show_default=False,
    ),
]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]

Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")]
