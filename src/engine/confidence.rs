//! From scores to confidences: the rules of [`ConfidenceSpec`], for one image.

use crate::generate::{Generation, choice_probabilities};
use crate::manifest::ConfidenceSpec;

/// What turns the scores about one image into confidences.
#[derive(Debug, Clone, Copy)]
pub(super) struct Confidence {
    /// The package's calibration.
    pub(super) spec: ConfidenceSpec,
    /// Of the image, `0..=1`; none: nothing is scaled.
    pub(super) familiarity: Option<f32>,
}

impl Confidence {
    /// Of a text, `0..=1`.
    pub(super) fn of_text(&self, text: &Generation) -> f32 {
        let probability = (text.mean_logprob() / self.spec.temperature.text).exp().clamp(0.0, 1.0);
        (self.known() * probability) as f32
    }

    /// Of every choice of a closed set; they add up to 1. Without familiarity none is likelier than another.
    pub(super) fn of_choices(&self, scores: &[f64]) -> Vec<f32> {
        let evenly = (1.0 - self.known()) / scores.len().max(1) as f64;
        choice_probabilities(scores, self.spec.temperature.choice)
            .into_iter()
            .map(|probability| (self.known() * probability + evenly) as f32)
            .collect()
    }

    fn known(&self) -> f64 {
        self.familiarity.map_or(1.0, f64::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::FinishReason;
    use crate::manifest::Temperatures;

    const TOLERANCE: f32 = 1e-6;

    fn confidence(choice: f64, text: f64, familiarity: Option<f32>) -> Confidence {
        let temperature = Temperatures { choice, text };
        Confidence { spec: ConfidenceSpec { temperature, ..ConfidenceSpec::default() }, familiarity }
    }

    /// A text whose mean token probability is `probability`.
    fn text(probability: f32) -> Generation {
        Generation { tokens: vec![7], logprobs: vec![probability.ln(); 2], finish: FinishReason::Stop }
    }

    fn assert_close(found: f32, expected: f32) {
        assert!((found - expected).abs() < TOLERANCE, "expected {expected}, found {found}");
    }

    #[test]
    fn without_familiarity_and_calibration_a_text_has_its_mean_token_probability() {
        let plain = Confidence { spec: ConfidenceSpec::default(), familiarity: None };
        assert_close(plain.of_text(&text(0.6)), 0.6);
        assert_close(plain.of_choices(&[0.25_f64.ln(), 0.75_f64.ln()])[1], 0.75);
        let empty = Generation { tokens: vec![], logprobs: vec![], finish: FinishReason::Length };
        assert_close(plain.of_text(&empty), 0.0);
    }

    #[test]
    fn an_unfamiliar_image_lowers_every_confidence() {
        let (known, foreign) = (confidence(1.5, 0.5, Some(0.9)), confidence(1.5, 0.5, Some(0.1)));
        assert!(foreign.of_text(&text(0.8)) < known.of_text(&text(0.8)));
        assert_close(foreign.of_text(&text(0.8)), 0.1 * 0.64);
        let largest = |confidence: &Confidence| confidence.of_choices(&[-1.0, -3.0, -7.0])[0];
        assert!(largest(&foreign) < largest(&known));
    }

    #[test]
    fn without_any_familiarity_the_choices_are_uniform_and_texts_have_no_confidence() {
        let foreign = confidence(2.0, 2.0, Some(0.0));
        for probability in foreign.of_choices(&[-1.0, -30.0, -700.0, -2.0]) {
            assert_close(probability, 0.25);
        }
        assert_close(foreign.of_text(&text(0.99)), 0.0);
    }

    #[test]
    fn a_temperature_keeps_the_ranking_and_the_sum_of_the_choices() {
        let scores = [-4.0, -0.5, -9.0, -1.5];
        for (temperature, familiarity) in [(0.2, None), (1.0, Some(0.7)), (5.0, Some(0.7)), (50.0, Some(1.0))]
        {
            let found = confidence(temperature, 1.0, familiarity).of_choices(&scores);
            assert_close(found.iter().sum(), 1.0);
            let mut order = [0, 1, 2, 3];
            order.sort_by(|&one, &other| found[other].total_cmp(&found[one]));
            assert_eq!(order, [1, 3, 0, 2], "{temperature}");
        }
    }

    #[test]
    fn a_higher_temperature_makes_choices_more_even_and_texts_more_probable() {
        let sharp = confidence(0.5, 0.5, None).of_choices(&[-1.0, -2.0])[0];
        assert!(confidence(2.0, 1.0, None).of_choices(&[-1.0, -2.0])[0] < sharp);
        assert_close(confidence(1.0, 2.0, None).of_text(&text(0.25)), 0.5);
        assert_close(confidence(1.0, 0.5, None).of_text(&text(0.5)), 0.25);
    }
}
