//! Every expert gets its prompt of the manifest.

use super::{Assignment, PromptSource, RoutingPlan};
use crate::manifest::ExpertSpec;

/// The plan of a fixed router.
pub fn fixed_plan(experts: &[ExpertSpec]) -> RoutingPlan {
    let assignments =
        experts.iter().enumerate().map(|(expert, spec)| fixed_assignment(expert, spec)).collect();
    RoutingPlan { assignments }
}

pub(super) fn fixed_assignment(expert: usize, spec: &ExpertSpec) -> Assignment {
    Assignment { expert, prompt: spec.prompt.clone(), source: PromptSource::Fixed }
}
