//! A language model writes one line per expert.

use super::fixed::fixed_assignment;
use super::{Assignment, PromptSource, RoutingPlan};
use crate::manifest::ExpertSpec;

/// Reads the router's text: line `i`, trimmed, is the prompt of expert `i`. An expert whose line is missing or empty
/// gets its prompt of the manifest; further lines are ignored.
pub fn plan_from_text(text: &str, experts: &[ExpertSpec]) -> RoutingPlan {
    let mut lines = text.split('\n').map(str::trim);
    let assignments = experts
        .iter()
        .enumerate()
        .map(|(expert, spec)| match lines.next() {
            Some(line) if !line.is_empty() => {
                Assignment { expert, prompt: line.to_owned(), source: PromptSource::Generated }
            }
            _ => fixed_assignment(expert, spec),
        })
        .collect();
    RoutingPlan { assignments }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn experts() -> Vec<ExpertSpec> {
        ["theme", "objects", "relationship"]
            .map(|name| ExpertSpec {
                name: name.to_owned(),
                prompt: format!("fixed {name}"),
                decoder: "base".to_owned(),
                adapter: Some(name.to_owned()),
            })
            .to_vec()
    }

    #[test]
    fn every_line_goes_to_its_expert_and_gaps_get_the_fixed_prompt() {
        let plan = plan_from_text(" Name it. \n\nSay where.\nmore", &experts());
        let found: Vec<(&str, PromptSource)> =
            plan.assignments.iter().map(|each| (each.prompt.as_str(), each.source)).collect();
        assert_eq!(
            found,
            [
                ("Name it.", PromptSource::Generated),
                ("fixed objects", PromptSource::Fixed),
                ("Say where.", PromptSource::Generated),
            ]
        );
    }

    proptest! {
        #[test]
        fn any_text_gives_every_expert_a_prompt(text in any::<String>()) {
            let plan = plan_from_text(&text, &experts());
            prop_assert_eq!(plan.assignments.len(), 3);
            for (index, each) in plan.assignments.iter().enumerate() {
                prop_assert_eq!(each.expert, index);
                prop_assert!(!each.prompt.trim().is_empty());
            }
        }
    }
}
