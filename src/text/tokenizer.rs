//! The only file that names the `tokenizers` crate.

use std::path::{Path, PathBuf};

use super::TextError;

/// A token of the vocabulary.
pub type TokenId = u32;

/// Characters of a text that an error message quotes.
const QUOTED_CHARS: usize = 40;

/// A `tokenizer.json`, loaded.
///
/// Text of the package may hold special tokens such as `<|im_start|>`; text of users never becomes one.
#[derive(Debug)]
pub struct Tokenizer {
    /// Recognises special tokens.
    template: tokenizers::Tokenizer,
    /// Takes special tokens for plain text.
    plain: tokenizers::Tokenizer,
    path: PathBuf,
}

impl Tokenizer {
    /// Loads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`TextError::Load`].
    pub fn load(path: &Path) -> Result<Self, TextError> {
        let template = tokenizers::Tokenizer::from_file(path)
            .map_err(|source| TextError::Load { path: path.to_owned(), source })?;
        let mut plain = template.clone();
        plain.set_encode_special_tokens(true);
        Ok(Self { template, plain, path: path.to_owned() })
    }

    /// Tokens of a text of the package; special tokens in it are recognised, none are added.
    ///
    /// # Errors
    /// [`TextError::Tokenize`].
    pub fn tokenize_template(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        let encoding = self.template.encode(text, false).map_err(|source| failed(text, source))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Tokens of a text of a user: `<|im_end|>` in it stays eight characters and two bars.
    ///
    /// # Errors
    /// [`TextError::Tokenize`], [`TextError::SpecialToken`].
    pub fn tokenize_plain(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        let encoding = self.plain.encode(text, false).map_err(|source| failed(text, source))?;
        let ids = encoding.get_ids();
        match ids.iter().find(|&&id| self.is_special(id)) {
            Some(&token) => Err(TextError::SpecialToken { text: quoted(text), token }),
            None => Ok(ids.to_vec()),
        }
    }

    /// Tokens of a user's text between the special tokens that the tokenizer itself adds (`[CLS]` and `[SEP]` of a
    /// Q-Former), at most `limit` of them.
    ///
    /// # Errors
    /// [`TextError::Tokenize`].
    pub fn tokenize_enclosed(&self, text: &str, limit: usize) -> Result<Vec<TokenId>, TextError> {
        let mut encoding = self.plain.encode(text, true).map_err(|source| failed(text, source))?;
        let ids = encoding.get_ids();
        if ids.len() <= limit {
            return Ok(ids.to_vec());
        }
        // The tokenizer's own truncation keeps the closing token; where it has none, cutting is all there is.
        encoding.truncate(limit, 0, tokenizers::TruncationDirection::Right);
        Ok(encoding.get_ids().to_vec())
    }

    /// Text of tokens, without special ones.
    ///
    /// # Errors
    /// [`TextError::Detokenize`].
    pub fn detokenize(&self, ids: &[TokenId]) -> Result<String, TextError> {
        self.template.decode(ids, true).map_err(|source| TextError::Detokenize { count: ids.len(), source })
    }

    /// The id of a single token, such as `<|im_end|>`.
    ///
    /// # Errors
    /// [`TextError::UnknownToken`].
    pub fn token_id(&self, token: &str) -> Result<TokenId, TextError> {
        self.template
            .token_to_id(token)
            .ok_or_else(|| TextError::UnknownToken { token: token.to_owned(), path: self.path.clone() })
    }

    /// The token of an id that the vocabulary has.
    pub fn token(&self, id: TokenId) -> Option<String> {
        self.template.id_to_token(id)
    }

    fn is_special(&self, id: TokenId) -> bool {
        self.template.get_added_tokens_decoder().get(&id).is_some_and(|token| token.special)
    }
}

fn failed(text: &str, source: tokenizers::Error) -> TextError {
    TextError::Tokenize { text: quoted(text), source }
}

fn quoted(text: &str) -> String {
    let mut quoted: String = text.chars().take(QUOTED_CHARS).collect();
    if quoted.len() < text.len() {
        quoted.push('…');
    }
    quoted
}
