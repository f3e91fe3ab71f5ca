//! Texts that come with a package, so that the next ones are written in fewer steps.

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;

use super::{Manifest, ManifestError, ModelPackage};

/// Largest file of draft texts, bytes; bounds the memory and the time that a load takes for them.
const LARGEST_DRAFTS: u64 = 1 << 20;

/// Texts as the package's model writes them, by role: JSON, every role optional. They make texts quicker, never other ones.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DraftTexts {
    /// Brief captions.
    pub caption: Vec<String>,
    /// Answers to free questions.
    pub answer: Vec<String>,
    /// The router's lines, those of one image in one text.
    pub router: Vec<String>,
    /// Texts of each expert by its name.
    pub experts: BTreeMap<String, Vec<String>>,
}

impl ModelPackage {
    /// The draft texts of the package; none if it has no file of them.
    ///
    /// # Errors
    /// [`ManifestError::Read`]; [`ManifestError::Content`] for a file that is too large or not as [`DraftTexts`], or has texts of an
    /// expert that the package does not have.
    pub fn draft_texts(&self) -> Result<DraftTexts, ManifestError> {
        let manifest = self.manifest();
        let Some(file) = &manifest.generation.drafts else { return Ok(DraftTexts::default()) };
        let path = self.path(file);
        let wrong = |problem: String| ManifestError::Content { path: path.clone(), problem };
        let bytes = manifest.files.get(file).map_or(0, |file| file.size);
        if bytes > LARGEST_DRAFTS {
            return Err(wrong(format!(
                "expected at most {LARGEST_DRAFTS} bytes of draft texts, found {bytes}"
            )));
        }
        let content = fs::read(&path).map_err(|source| ManifestError::Read { path: path.clone(), source })?;
        let drafts: DraftTexts =
            serde_json::from_slice(&content).map_err(|error| wrong(format!("no draft texts: {error}")))?;
        match unknown_expert(&drafts, manifest) {
            Some(expert) => Err(wrong(format!("texts of \"{expert}\", which is no expert of the package"))),
            None => Ok(drafts),
        }
    }
}

fn unknown_expert<'a>(drafts: &'a DraftTexts, manifest: &Manifest) -> Option<&'a String> {
    drafts.experts.keys().find(|name| manifest.experts.list.iter().all(|expert| expert.name != **name))
}
