//! Segments of a conversation as tokens.

use rsmoe::text::{PromptFormat, PromptToken, Tokenizer};

use crate::support::{IMAGE_TOKENS, package};

#[test]
fn segments_are_the_templates_with_the_users_text_between() {
    let package = package("tiny-adapter");
    let tokenizer = Tokenizer::load(&package.path("tokenizer.json")).unwrap();
    let format = PromptFormat::new(&package.manifest().language, IMAGE_TOKENS);
    let template = |text: &str| -> Vec<PromptToken> {
        tokenizer.tokenize_template(text).unwrap().into_iter().map(PromptToken::Token).collect()
    };
    let plain = |text: &str| -> Vec<PromptToken> {
        tokenizer.tokenize_plain(text).unwrap().into_iter().map(PromptToken::Token).collect()
    };
    let images: Vec<PromptToken> = (0..IMAGE_TOKENS).map(PromptToken::Image).collect();
    assert_eq!(format.prefix(&tokenizer).unwrap(), [template("<|im_start|>user\n"), images].concat());
    assert_eq!(
        format.instruction("What is it?", &tokenizer).unwrap(),
        [plain("What is it?"), template("<|im_end|>\n")].concat()
    );
    assert_eq!(
        format.expert("Name it.", &tokenizer).unwrap(),
        [template("<|im_start|>user\n"), plain("Name it."), template("<|im_end|>\n<|im_start|>assistant\n"),]
            .concat()
    );
    assert_eq!(format.answer(&tokenizer).unwrap(), template("<|im_start|>assistant\n"));
    assert_eq!(format.router(&tokenizer).unwrap(), template("<|im_start|>router\n"));
}

#[test]
fn an_instruction_for_a_qformer_stands_between_its_own_special_tokens_and_is_cut() {
    let package = package("tiny-graph");
    let tokenizer = Tokenizer::load(&package.path("qformer_tokenizer.json")).unwrap();
    let short = tokenizer.tokenize_enclosed("Describe the image.", 32).unwrap();
    let (first, last) = (tokenizer.token_id("[CLS]").unwrap(), tokenizer.token_id("[SEP]").unwrap());
    assert_eq!((short.first(), short.last()), (Some(&first), Some(&last)));
    let long = tokenizer.tokenize_enclosed(&"the image ".repeat(100), 32).unwrap();
    assert_eq!(long.len(), 32);
    assert_eq!(long.last(), Some(&last));
}
