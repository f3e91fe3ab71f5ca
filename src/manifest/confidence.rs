//! How scores become confidences.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Calibration of a package: what its scores are divided by, and what it had better keep to itself.
///
/// One rule holds for every package. With `f` the image's familiarity
/// ([`VisionEncoderSpec::familiarity`](super::VisionEncoderSpec::familiarity); 1 in a package that has none):
///
/// - a text (caption, expert's text, free answer): `f * exp(m / temperature.text)`, `m` the mean log-probability of its tokens
///   and of the stop token;
/// - a choice among `K`: `f * p + (1 - f) / K`, `p = softmax(s / temperature.choice)`, `s` the sum of the log-probabilities of
///   the choice's tokens and of the stop token.
///
/// A package without this section has both temperatures 1 and always answers: then a text's confidence is its mean token
/// probability, times `f`.
///
/// Temperature scaling: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017; one temperature for all questions
/// keeps the ranking of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfidenceSpec {
    /// Temperatures, fitted on validation data.
    pub temperature: Temperatures,
    /// An answer with a lower confidence is "not sure"; `0 <= unsure_below < 1`, 0: never.
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
    pub unsure_below: f64,
    /// An expert whose text has a lower confidence stays out of the full caption, unless it leads
    /// ([`ExpertsSpec::lead`](super::ExpertsSpec::lead)) or none is surer; `0 <= silent_below < 1`, 0: none does.
    #[serde(default)]
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
    pub silent_below: f64,
}

/// Temperatures; finite and above 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Temperatures {
    /// Of scored choices: divides the log-probability of each before the softmax. Above 1 the choices become more even.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub choice: f64,
    /// Of texts: divides the mean log-probability of the tokens. Above 1 texts become more probable, below 1 less.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub text: f64,
}

impl ConfidenceSpec {
    /// True for what may stand as a threshold: `0 <= number < 1`.
    pub fn is_threshold(number: f64) -> bool {
        (0.0..1.0).contains(&number)
    }

    /// Everything that is out of its range.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, temperature) in [("choice", self.temperature.choice), ("text", self.temperature.text)] {
            if !(temperature.is_finite() && temperature > 0.0) {
                problems.push(format!(
                    "confidence.temperature.{name}: expected a finite number above 0, found {temperature}"
                ));
            }
        }
        for (name, threshold) in [("unsure_below", self.unsure_below), ("silent_below", self.silent_below)] {
            if !Self::is_threshold(threshold) {
                problems.push(format!("confidence.{name}: expected 0 <= number < 1, found {threshold}"));
            }
        }
        problems
    }
}

impl Default for ConfidenceSpec {
    /// What holds for a package without the section: temperatures of 1, always an answer, and no silent expert.
    fn default() -> Self {
        Self { temperature: Temperatures { choice: 1.0, text: 1.0 }, unsure_below: 0.0, silent_below: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(choice: f64, text: f64, threshold: f64) -> ConfidenceSpec {
        let temperature = Temperatures { choice, text };
        ConfidenceSpec { temperature, unsure_below: threshold, silent_below: threshold }
    }

    #[test]
    fn a_calibration_within_its_ranges_is_accepted() {
        assert!(ConfidenceSpec::default().problems().is_empty());
        assert!(spec(1e-3, 40.0, 0.999).problems().is_empty());
    }

    #[test]
    fn temperatures_that_divide_nothing_and_thresholds_that_nothing_reaches_are_all_named() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let problems = spec(bad, bad, 1.0).problems();
            assert_eq!(problems.len(), 4, "{problems:?}");
            assert!(
                problems[0].starts_with("confidence.temperature.choice: expected a finite number above 0")
            );
            assert!(problems[1].starts_with("confidence.temperature.text"));
            assert!(problems[2].starts_with("confidence.unsure_below: expected 0 <= number < 1, found 1"));
            assert!(problems[3].starts_with("confidence.silent_below: expected 0 <= number < 1, found 1"));
        }
        assert_eq!(spec(1.0, 1.0, -0.1).problems().len(), 2);
        assert_eq!(spec(1.0, 1.0, f64::NAN).problems().len(), 2);
    }
}
