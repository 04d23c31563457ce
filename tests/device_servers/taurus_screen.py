"""Opens a device with Taurus, as an operator does, and saves what is on the screen.

A program of its own: Qt wants the main thread, and a crash of it must not take the tests along.
"""

import json
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

from taurus.external.qt import Qt  # noqa: E402
from taurus.qt.qtgui.application import TaurusApplication  # noqa: E402
from taurus.qt.qtgui.panel import TaurusForm  # noqa: E402
from taurus_pyqtgraph import TaurusPlot  # noqa: E402

SHOWN = (
    *("state", "status", "distance", "poni1", "poni2", "energy", "wavelength", "detector"),
    *("radial_bins", "radial_unit", "error_model", "frames_seen", "recipe_digest"),
)


def main(device: str, folder: Path) -> int:
    app = TaurusApplication(["ringline"], cmd_line_parser=None)
    form = TaurusForm()
    form.setModel([f"{device}/{name}" for name in SHOWN])
    plot = TaurusPlot()
    plot.setModel([(f"{device}/radial", f"{device}/intensity")])
    for number, widget in enumerate((form, plot)):
        widget.resize(800, 560)
        widget.move(0, 600 * number)
        widget.show()

    def save() -> None:
        form.grab().save(str(folder / "form.png"))
        plot.grab().save(str(folder / "plot.png"))
        curves = [item for item in plot.getPlotItem().listDataItems() if item.xData is not None]
        seen = {
            "points": [len(item.xData) for item in curves],
            "pending": [str(operation.model) for operation in form.getPendingOperations()],
        }
        (folder / "seen.json").write_text(json.dumps(seen))
        app.quit()

    Qt.QTimer.singleShot(3000, save)
    return int(app.exec_())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
