"""Writing one run into Tiled, live, and again without harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bluesky_tiled_plugins.writing.consolidators import consolidator_factory
from bluesky_tiled_plugins.writing.tiled_writer import RunNormalizer, _RunWriter
from tiled.client.container import Container

from ringline.callbacks.documents import made_here
from ringline.callbacks.uris import path_of_uri, uri_of_path
from ringline.processing import FrameError

Locate = Callable[[str], str]
"""Returns the URI by which the store reads a file, or raises FrameError."""


class LiveRunWriter(_RunWriter):  # type: ignore[misc]
    """bluesky's writer of a run, with three additions.

    What is collected is written whenever :meth:`flush` is called, so a run can be read while it
    is open, and a writer that is behind makes few large writes. A run that is in the store
    already is continued: nodes are opened instead of created and rows that are there are
    skipped, so all documents may be written again after a crash. A file which the store could
    not read back is refused.
    """

    def __init__(self, client: Container, locate: Locate, report: Callable[[Exception], None]):
        super().__init__(client)
        self._locate, self._report = locate, report
        self._stored_rows: dict[str, frozenset[int]] = {}
        self._refused: set[str] = set()
        self.stopped = False

    def flush(self) -> None:
        """Write everything that is collected."""
        for resource in list(self._external_data_cache):
            self._write_external_data(self._external_data_cache.pop(resource))
        for stream, rows in self._internal_data_cache.items():
            if rows:
                self._write_internal_data(rows, desc_node=self._desc_nodes[stream])
                rows.clear()

    def start(self, doc: Any) -> None:
        """Create the run, or open it."""
        if doc["uid"] in self.client.keys():  # noqa: SIM118 the catalogue guesses partial uids
            self.root_node = self.client[doc["uid"]]
        else:
            super().start(doc)

    def descriptor(self, doc: Any) -> None:
        """Create the stream, or open it; further descriptors update its configuration."""
        name = doc["name"]
        if name not in self._desc_nodes and name in self._children(self.root_node):
            self._open_stream(name, doc)
        elif self._is_new_update(doc):
            super().descriptor(doc)
        self._desc_nodes[doc["uid"]] = self._desc_nodes[name]

    def event(self, doc: Any) -> None:
        """Collect a row, unless it is in the store."""
        stream = self._desc_nodes[doc["descriptor"]].item["id"]
        if doc["seq_num"] not in self._stored_rows.get(stream, ()):
            super().event(doc)

    def stream_resource(self, doc: Any) -> None:
        """Take a file, by the URI under which the store reads it, or refuse it."""
        try:
            doc = {**doc, "uri": self._locate(doc["uri"])}
        except FrameError as error:
            self._refused.add(doc["uid"])
            self._report(error)
        else:
            super().stream_resource(doc)

    def stream_datum(self, doc: Any) -> None:
        """Collect a range of rows in a file."""
        if doc["stream_resource"] not in self._refused:
            super().stream_datum(doc)

    def get_sres_node(self, sres_uid: str, desc_uid: str | None = None) -> Any:
        """Return node and consolidator of a file, opening the node where it exists."""
        if sres_uid not in self._sres_nodes and desc_uid is not None:
            self._open_external(self._stream_resource_cache[sres_uid], desc_uid)
        return super().get_sres_node(sres_uid, desc_uid)

    def stop(self, doc: Any) -> None:
        """Write the rest and close the run."""
        self.flush()
        super().stop(dict(doc))
        self.stopped = True

    def _open_stream(self, name: str, doc: Any) -> None:
        self.data_keys.update(doc.get("data_keys", {}))
        node = self._desc_nodes[name] = self.root_node[name].base
        if "internal" in self._children(node):
            table = self._internal_tables[name] = node["internal"]
            self._stored_rows[name] = frozenset(table.read(["seq_num"])["seq_num"])

    def _is_new_update(self, doc: Any) -> bool:
        node = self._desc_nodes.get(doc["name"])
        if node is None:
            return True
        known = [node.metadata.get("uid")]
        known += [update["uid"] for update in node.metadata.get("_config_updates", [])]
        return doc["uid"] not in known

    def _open_external(self, resource: Any, desc_uid: str) -> None:
        stream, key = self._desc_nodes[desc_uid], resource["data_key"]
        full_key = f"{stream.item['id']}_{key}"
        if full_key not in self._sres_nodes and key in self._children(stream):
            self._sres_nodes[full_key] = self._sres_nodes[resource["uid"]] = stream[key]
            self._consolidators[full_key] = self._consolidators[resource["uid"]] = (
                consolidator_factory(resource, stream.metadata)
            )

    @staticmethod
    def _children(node: Any) -> set[str]:
        return set(getattr(node, "base", node).keys())


def run_writer(
    client: Container, start: Any, locate: Locate, report: Callable[[Exception], None]
) -> tuple[Callable[[str, Any], None], LiveRunWriter]:
    """Return what takes a run's documents, and the writer behind it that can be flushed."""
    writer = LiveRunWriter(client, locate, report)
    if made_here(start):
        return writer, writer  # our own documents are of the current schema
    normalizer = RunNormalizer()
    normalizer.subscribe(writer)
    return normalizer, writer


def locator(readable: Callable[[Any], Any] | None) -> Locate:
    """Return a function from the URI in a document to that by which Tiled reads the file.

    Parameters
    ----------
    readable:
        Returns the form of a path under which the store serves it, or None; None: all are.
    """

    def locate(uri: str) -> str:
        if "://" in uri and not uri.startswith("file:"):
            return uri  # a service's; Tiled reads it or not
        path = path_of_uri(uri)
        served = path if readable is None else readable(path)
        if served is None:
            raise FrameError(
                f"{path}: lies outside the folders that the store can read; "
                "it was not stored: open the store with this file's folder as readable"
            )
        trailing = "/" if uri.endswith("/") else ""
        return uri_of_path(served) + trailing

    return locate
