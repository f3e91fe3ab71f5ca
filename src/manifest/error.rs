//! What can be wrong with a model package.

use std::fmt;
use std::path::PathBuf;

use super::Variant;

/// A model package that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// There is no package at this place.
    #[error("no model package in {root}: it has no manifest.yaml", root = root.display())]
    NotFound {
        /// The directory.
        root: PathBuf,
    },
    /// The manifest cannot be read.
    #[error("cannot read {path}", path = path.display())]
    Read {
        /// The manifest.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The manifest is not YAML of the expected layout.
    #[error("{path} is not a manifest of schema version {version}", path = path.display(), version = super::SCHEMA_VERSION)]
    Parse {
        /// The manifest.
        path: PathBuf,
        /// Where, and what was expected.
        source: serde_yaml::Error,
    },
    /// The manifest contradicts itself or asks for something that cannot be.
    #[error("{path} is not valid: {list}", path = path.display(), list = Listed(problems))]
    Invalid {
        /// The manifest.
        path: PathBuf,
        /// Everything that is wrong.
        problems: Vec<String>,
    },
    /// Files of the package are missing or not as the manifest says.
    #[error("the model package in {root} is damaged: {list}", root = root.display(), list = Listed(faults))]
    Damaged {
        /// The package.
        root: PathBuf,
        /// Every file that is not as it must be.
        faults: Vec<FileFault>,
    },
    /// A graph names weights in files that the manifest does not allow it.
    #[error("graph \"{graph}\" of {root}: {list}", root = root.display(), list = Listed(problems))]
    ExternalData {
        /// The package.
        root: PathBuf,
        /// The graph's name.
        graph: String,
        /// Everything that is wrong.
        problems: Vec<String>,
    },
    /// The variant was not built.
    #[error("model package \"{name}\" holds no variant {variant}; built: {built}", built = names(built))]
    VariantNotBuilt {
        /// The package's name.
        name: String,
        /// The package.
        root: PathBuf,
        /// The variant that was asked for.
        variant: Variant,
        /// The variants that are there.
        built: Vec<Variant>,
    },
    /// A file of the package has content that cannot be used although its hash is right.
    #[error("{path}: {problem}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl ManifestError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { root } if root.join("recipe.yaml").is_file() => {
                Some(format!("build it: python -m rsmoe_export build {}", root.display()))
            }
            Self::NotFound { .. } => {
                Some("name a package with --model, or list those that are here: rsmoe model list".to_owned())
            }
            Self::Damaged { root, .. } if root.join("recipe.yaml").is_file() => Some(format!(
                "remove {} and build it anew: python -m rsmoe_export build {}",
                root.join(super::MANIFEST_FILE).display(),
                root.display()
            )),
            Self::Damaged { .. } => Some("fetch or build the package anew".to_owned()),
            Self::VariantNotBuilt { root, variant, built, .. } => {
                let mut wanted: Vec<Variant> = built.clone();
                wanted.push(*variant);
                Some(format!(
                    "build it: python -m rsmoe_export build {} --variants {}",
                    root.display(),
                    names(&wanted).replace(", ", ",")
                ))
            }
            _ => None,
        }
    }
}

/// A file that is not as the manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// Path relative to the package.
    pub path: String,
    /// What is wrong.
    pub reason: FileFaultReason,
}

impl fmt::Display for FileFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path, self.reason)
    }
}

/// What can be wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileFaultReason {
    /// It is not there.
    #[error("missing")]
    Missing,
    /// It is a directory or something else that is not a file.
    #[error("not a file")]
    NotAFile,
    /// A link leads out of the package.
    #[error("leads out of the package to {target}", target = target.display())]
    Outside {
        /// Where it leads.
        target: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot be read: {problem}")]
    Unreadable {
        /// What the system says.
        problem: String,
    },
    /// The length is another one.
    #[error("expected {expected} bytes, found {found}")]
    Size {
        /// Length in the manifest, bytes.
        expected: u64,
        /// Length of the file, bytes.
        found: u64,
    },
    /// The content is another one.
    #[error("expected SHA-256 {expected}, found {found}")]
    Digest {
        /// SHA-256 in the manifest.
        expected: String,
        /// SHA-256 of the file.
        found: String,
    },
    /// The manifest does not list it.
    #[error("not listed in the manifest")]
    Unlisted,
}

/// Prints one item in place, several on a line each.
struct Listed<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Listed<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [only] => write!(formatter, "{only}"),
            many => {
                write!(formatter, "{} problems", many.len())?;
                many.iter().try_for_each(|item| write!(formatter, "\n  - {item}"))
            }
        }
    }
}

fn names(variants: &[Variant]) -> String {
    if variants.is_empty() {
        return "none".to_owned();
    }
    variants.iter().map(|variant| variant.name()).collect::<Vec<_>>().join(", ")
}
