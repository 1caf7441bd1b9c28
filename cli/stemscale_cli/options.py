"""Options that several verbs share, each named once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from stemscale.clusters import Tls

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

OneFov = Annotated[
    str | None,
    typer.Option("--fov", metavar="NAME", help="Field of view; needed where there are several."),
]

OutputName = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="Name of the output. [default: the word, or the file's stem]",
    ),
]

Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="With --distortion STORE: carry it over although dwell time or flyback differ.",
    ),
]

Dtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="float32",
        help="Keep fractions of counts, as where a detector counts few electrons a pixel; "
        "files become larger. [default: as the frames were recorded]",
        show_default=False,
    ),
]

Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", help="Local worker processes. [default: one a core]"),
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

ClusterFile = Annotated[
    Path | None,
    typer.Option(
        "--cluster",
        metavar="FILE.yaml",
        help="For slurm: what its jobs ask for. For kubernetes: a DaskCluster.",
        show_default=False,
    ),
]

TlsCa = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca",
        metavar="FILE",
        help="For tls://ADDRESS: certificate of the authority.",
        show_default=False,
    ),
]

TlsCert = Annotated[
    Path | None,
    typer.Option(
        "--tls-cert", metavar="FILE", help="Certificate of this client.", show_default=False
    ),
]

TlsKey = Annotated[
    Path | None,
    typer.Option("--tls-key", metavar="FILE", help="Key of this client.", show_default=False),
]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]

Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")]


def rapid_settings(
    pixel_size: float | None, dwell_time: float | None, flyback: float | None
) -> dict[str, float | None]:
    """Name the scan settings that files err in, as the library does."""
    return {
        "pixel_size_nm": pixel_size,
        "dwell_time_ns": dwell_time,
        "flyback_time_us": flyback,
    }


def tls_of(ca: Path | None, cert: Path | None, key: Path | None) -> "Tls | None":
    """Put the three files together, of which none goes without the others."""
    from stemscale.clusters import Tls

    if ca and cert and key:
        return Tls(ca=ca, cert=cert, key=key)
    if ca or cert or key:
        raise typer.BadParameter("--tls-ca, --tls-cert and --tls-key go together")
    return None
