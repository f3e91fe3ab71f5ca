//! A model package on disk.

use std::fs;
use std::path::{Path, PathBuf};

use super::integrity::{Look, check_files, hex_digest};
use super::{FileFault, Manifest, ManifestError, Variant, external_data};

/// Name of the manifest inside a package.
pub const MANIFEST_FILE: &str = "manifest.yaml";

/// Hexadecimal digits of the manifest's digest in a model's id.
const ID_DIGITS: usize = 12;

/// A directory with a valid manifest; its files are not looked at before [`ModelPackage::verify`].
#[derive(Debug, Clone)]
pub struct ModelPackage {
    root: PathBuf,
    manifest: Manifest,
    digest: String,
}

impl ModelPackage {
    /// Reads and checks `root/manifest.yaml`.
    ///
    /// # Errors
    /// [`ManifestError::NotFound`], [`ManifestError::Read`], [`ManifestError::Parse`], or [`ManifestError::Invalid`]
    /// with every contradiction in the manifest.
    pub fn open(root: &Path) -> Result<Self, ManifestError> {
        let path = root.join(MANIFEST_FILE);
        let content = match fs::read(&path) {
            Ok(content) => content,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Err(ManifestError::NotFound { root: root.to_owned() });
            }
            Err(source) => return Err(ManifestError::Read { path, source }),
        };
        let manifest = Manifest::from_yaml(&content, &path)?;
        Ok(Self { root: root.to_owned(), manifest, digest: hex_digest(&content) })
    }

    /// The package's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the manifest says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Name and first 12 hexadecimal digits of the manifest's SHA-256: `rsmoe-mini@0123456789ab`.
    ///
    /// The manifest holds the hash of every other file, so the id stands for the whole package.
    pub fn id(&self) -> String {
        format!("{}@{}", self.manifest.name, &self.digest[..ID_DIGITS])
    }

    /// A file of the package on disk. `relative` must come from the manifest, where it was checked to stay inside.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Checks the size and SHA-256 of every file of the package, in parallel, and the external weights of every graph.
    ///
    /// # Errors
    /// [`ManifestError::Damaged`] with every file that is not as it must be, [`ManifestError::ExternalData`],
    /// [`ManifestError::Content`].
    pub fn verify(&self) -> Result<(), ManifestError> {
        let paths: Vec<&str> = self.manifest.files.keys().map(String::as_str).collect();
        self.verify_files(&paths)
    }

    /// Checks that every decoder was built in `variant`.
    ///
    /// # Errors
    /// [`ManifestError::VariantNotBuilt`].
    pub fn require_variant(&self, variant: Variant) -> Result<(), ManifestError> {
        let built = self.manifest.built_variants();
        if built.contains(&variant) {
            return Ok(());
        }
        Err(ManifestError::VariantNotBuilt {
            name: self.manifest.name.clone(),
            root: self.root.clone(),
            variant,
            built,
        })
    }

    /// As [`ModelPackage::verify`], for some files.
    ///
    /// # Errors
    /// Those of [`ModelPackage::verify`].
    pub fn verify_files(&self, paths: &[&str]) -> Result<(), ManifestError> {
        self.verify_contents(paths)?;
        self.verify_all_external_data(paths)
    }

    /// Checks all of some files that takes no time: places, sizes, and which external weights graphs name. Afterwards they can
    /// be loaded while [`ModelPackage::verify_contents`] still reads them.
    ///
    /// # Errors
    /// Those of [`ModelPackage::verify`].
    pub fn check_files(&self, paths: &[&str]) -> Result<(), ManifestError> {
        let looked = self.look_at(paths, Look::Outside).and_then(|()| self.verify_all_external_data(paths));
        looked.or_else(|error| {
            // Every damaged file is to be named; and what a damaged graph seems to name is not worth telling.
            self.verify_contents(paths)?;
            Err(error)
        })
    }

    /// Checks size and SHA-256 of some files, in parallel.
    ///
    /// # Errors
    /// [`ManifestError::Damaged`] with every file that is not as it must be.
    pub fn verify_contents(&self, paths: &[&str]) -> Result<(), ManifestError> {
        let started = std::time::Instant::now();
        self.look_at(paths, Look::Inside)?;
        tracing::debug!(files = paths.len(), ms = started.elapsed().as_millis() as u64, "package verified");
        Ok(())
    }

    fn look_at(&self, paths: &[&str], look: Look) -> Result<(), ManifestError> {
        let faults: Vec<FileFault> = check_files(&self.root, &self.manifest.files, paths, look);
        if faults.is_empty() {
            Ok(())
        } else {
            Err(ManifestError::Damaged { root: self.root.clone(), faults })
        }
    }

    fn verify_all_external_data(&self, paths: &[&str]) -> Result<(), ManifestError> {
        let mut graphs = self.manifest.graphs.iter();
        graphs.try_for_each(|(name, graph)| {
            if paths.contains(&graph.file.as_str()) {
                self.verify_external_data(name, &graph.file, &graph.data)
            } else {
                Ok(())
            }
        })
    }

    /// A graph may name no weights but those that the manifest lists for it.
    fn verify_external_data(&self, name: &str, file: &str, declared: &[String]) -> Result<(), ManifestError> {
        let path = self.path(file);
        let content = fs::read(&path).map_err(|source| ManifestError::Read { path: path.clone(), source })?;
        let named = external_data::locations(&content)
            .map_err(|problem| ManifestError::Content { path: path.clone(), problem: problem.to_string() })?;
        // Locations are relative to the graph's own directory.
        let directory = Path::new(file).parent().unwrap_or_else(|| Path::new(""));
        let declared: Vec<PathBuf> = declared.iter().map(PathBuf::from).collect();
        let problems: Vec<String> = named
            .iter()
            .filter(|location| !declared.contains(&directory.join(location)))
            .map(|location| {
                format!("names external weights in \"{location}\", which the manifest does not list")
            })
            .collect();
        if problems.is_empty() {
            return Ok(());
        }
        Err(ManifestError::ExternalData { root: self.root.clone(), graph: name.to_owned(), problems })
    }
}
