//! What is known of texts, so that the next ones are written in fewer steps.

use super::request::Speculation;
use crate::error::Result;
use crate::generate::{DraftSource, Drafting};
use crate::manifest::{Manifest, ModelPackage, Variant};
use crate::runtime::ExecutionProvider;
use crate::text::{PromptToken, Tokenizer};

/// Whose text it is: texts of one role resemble each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The router's lines.
    Router,
    /// A brief caption.
    Caption,
    /// An answer to a free question.
    Answer,
    /// The text of the expert of this index.
    Expert(usize),
}

/// Draft sources of all roles.
#[derive(Debug)]
pub(super) struct Drafts {
    speculation: Speculation,
    sources: Vec<DraftSource>,
    is_repeatable: bool,
}

/// True if the width of a step makes no difference to the last bit, on a processor.
///
/// What was written before decides how wide steps are, and a record must not depend on that: a scene that is resumed repeats
/// the same bytes. Integer products are exact whatever the number of rows. The floats of attention are summed in the same order
/// from two rows on: several query heads for each key-value head, or some of its rows would be single.
fn is_exact(manifest: &Manifest, variant: Variant) -> bool {
    let mut decoders = manifest.decoders.values();
    variant == Variant::W8a8
        && decoders.all(|decoder| manifest.language.hidden > decoder.key_value_heads * decoder.head_dim)
}

impl Role {
    fn index(self) -> usize {
        match self {
            Self::Router => 0,
            Self::Caption => 1,
            Self::Answer => 2,
            Self::Expert(expert) => 3 + expert,
        }
    }
}

impl Drafts {
    /// The package's own draft texts, tokenized.
    pub(super) fn load(
        package: &ModelPackage,
        tokenizer: &Tokenizer,
        speculation: Speculation,
        (variant, provider): (Variant, ExecutionProvider),
    ) -> Result<Self> {
        let manifest: &Manifest = package.manifest();
        let experts = &manifest.experts.list;
        let mut sources = vec![DraftSource::default(); Role::Expert(experts.len()).index()];
        if speculation == Speculation::On {
            let texts = package.draft_texts()?;
            let of_experts = experts
                .iter()
                .enumerate()
                .filter_map(|(index, expert)| Some((Role::Expert(index), texts.experts.get(&expert.name)?)));
            let others = [
                (Role::Router, &texts.router),
                (Role::Caption, &texts.caption),
                (Role::Answer, &texts.answer),
            ];
            for (role, texts) in others.into_iter().chain(of_experts) {
                for text in texts {
                    sources[role.index()].ship(&tokenizer.tokenize_plain(text)?);
                }
            }
        }
        let is_repeatable = provider == ExecutionProvider::Cpu && is_exact(manifest, variant);
        Ok(Self { speculation, sources, is_repeatable })
    }

    /// Forgets earlier texts, unless a batch's results are the same to the last bit with them.
    pub(super) fn begin_batch(&mut self) {
        if !self.is_repeatable {
            self.forget();
        }
    }

    /// Forgets all texts but those of the package.
    pub(super) fn forget(&mut self) {
        self.sources.iter_mut().for_each(DraftSource::forget);
    }

    /// Drafts for rows of these roles and prompts; none if nothing is to be drafted.
    pub(super) fn of_rows<'a>(
        &'a mut self,
        roles: impl Iterator<Item = Role>,
        prompts: &'a [Vec<PromptToken>],
    ) -> Option<Drafting<'a>> {
        match self.speculation {
            Speculation::On => Some(Drafting {
                sources: &mut self.sources,
                roles: roles.map(Role::index).collect(),
                prompts,
            }),
            Speculation::Off => None,
        }
    }
}
