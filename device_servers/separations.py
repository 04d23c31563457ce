"""Bragg peaks of one frame, told from the smooth signal, in a file of the workspace."""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ringline.device_servers.errors import BadInputError
from ringline.device_servers.images import ImageName, read_image_named
from ringline.processing import Frame, Recipe, reduction_for, separating, write_separations


@dataclass(frozen=True, slots=True)
class SeparationJob:
    """What to separate, and the folder that the file goes to."""

    image: ImageName
    recipe: Recipe
    engine: str
    folder: Path

    @classmethod
    def of(cls, image: ImageName, recipe: Recipe, engine: str, folder: Path) -> "SeparationJob":
        """For a recipe in force; RecipeError for an azimuthal profile."""
        return cls(image, separating(recipe), engine, folder)

    @property
    def output(self) -> Path:
        """The same frame and recipe have the same name: asking again does not fill the disk."""
        name = self.image
        # Detectors write files of the same name to one folder after another.
        whole = f"{name.path}::{name.dataset or ''}#{name.frame} {self.recipe.digest}"
        mark = sha256(whole.encode(errors="surrogateescape")).hexdigest()[:12]
        return self.folder / f"{name.path.stem}_{name.frame}_peaks_{mark}.h5"

    def run(self) -> str:
        """Write the file, as a whole or not at all; what the command line prints, as JSON."""
        image = read_image_named(self.image)
        reduction, output = reduction_for(self.recipe, self.engine), self.output
        slow, fast = image.shape
        frames = [Frame(image, self.image.frame)]
        try:
            spots = write_separations(output, reduction, frames, (1, slow, fast))
        except OSError as error:
            raise BadInputError(f"{output} cannot be written: {error.strerror or error}") from error
        return json.dumps(
            {"file": str(output), "spots": spots, "recipe_digest": self.recipe.digest}
        )
