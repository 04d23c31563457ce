"""File URIs of documents, and the folders that files may come from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

_PREFIXES = ("file://localhost/", "file:///")


def uri_of_path(path: Path) -> str:
    """Return the URI of a file as ophyd-async writes it and Tiled reads it: not percent-encoded."""
    return f"file://localhost{Path(path).absolute().as_posix()}"


def path_of_uri(uri: str) -> Path:
    """Return the file which a URI or a plain path names.

    Both conventions are in use: ophyd-async and Tiled leave a URI as it is, ``Path.as_uri`` and
    many detectors percent-encode it. The reading whose folder exists wins, the plain one first.

    Raises
    ------
    ValueError
        The URI names no local file.
    """
    text = _local_part(uri)
    plain, decoded = Path(text), Path(unquote(text))
    if plain != decoded and not plain.exists() and decoded.parent.exists():
        return decoded
    return plain


def _local_part(uri: str) -> str:
    for prefix in _PREFIXES:
        if uri.startswith(prefix):
            return uri[len(prefix) - 1 :]
    if "://" in uri:
        raise ValueError(f"{uri} names no file of this machine")
    return uri


def path_within(path: Path, folders: Sequence[Path]) -> Path | None:
    """Return the form of `path` that lies in one of the folders, or None.

    Symbolic links are followed only when the path as written does not fit, and ``..`` is always
    resolved first.
    """
    for form in (Path(os.path.abspath(path)), path.resolve()):  # noqa: PTH100 keeps the links
        if any(form == folder or folder in form.parents for folder in folders):
            return form
    return None
