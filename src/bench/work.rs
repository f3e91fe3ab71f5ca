//! The fixed work, as `benches/work.yaml` has it.

use serde::Deserialize;

use crate::engine::FixedWork;

/// The file, inside the binary.
const FILE: &str = include_str!("../../benches/work.yaml");

/// Lengths of the fixed work in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkFile {
    /// Prefix and instruction together, image tokens included.
    pub prefix_tokens: usize,
    /// Image tokens that other runtimes take; a package has its own number.
    pub image_tokens: usize,
    /// The router's text.
    pub router_tokens: usize,
    /// Experts that other runtimes imitate; a package has its own number.
    pub experts: usize,
    /// The prompt of each expert.
    pub prompt_tokens: usize,
    /// The text of each expert.
    pub expert_tokens: usize,
    /// Tiles of the scene, a square number.
    pub scene_tiles: usize,
}

impl WorkFile {
    /// The work that is built into the program.
    ///
    /// # Panics
    /// If the file that was built in is not one; a test reads it.
    pub fn built_in() -> Self {
        serde_yaml::from_str(FILE).expect("benches/work.yaml is part of the program")
    }

    /// What every image is asked for.
    pub fn fixed(&self) -> FixedWork {
        FixedWork {
            prefix_tokens: self.prefix_tokens,
            router_tokens: self.router_tokens,
            prompt_tokens: self.prompt_tokens,
            expert_tokens: self.expert_tokens,
            brief_tokens: self.expert_tokens,
        }
    }

    /// Tiles on a side of the scene.
    pub fn scene_side(&self) -> usize {
        self.scene_tiles.isqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_that_is_built_in_makes_sense() {
        let work = WorkFile::built_in();
        assert!(work.image_tokens < work.prefix_tokens);
        assert_eq!(work.scene_side() * work.scene_side(), work.scene_tiles);
        let fixed = work.fixed();
        assert!(fixed.router_tokens > 0 && fixed.prompt_tokens > 0 && fixed.expert_tokens > 0);
    }
}
