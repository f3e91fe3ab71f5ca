//! Any bytes as `manifest.yaml`: read or refused, never a panic; what is read can be written and read again.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use rsmoe::manifest::{Manifest, Variant};

fuzz_target!(|content: &[u8]| {
    let path = Path::new("manifest.yaml");
    match Manifest::from_yaml(content, path) {
        Ok(manifest) => {
            for variant in Variant::ALL {
                for file in manifest.files_in_use(variant) {
                    assert!(manifest.files.contains_key(file), "{file} is used and not listed");
                }
            }
            let written = serde_yaml::to_string(&manifest).expect("a manifest is plain data");
            let read = Manifest::from_yaml(written.as_bytes(), path).expect("what was written can be read");
            assert_eq!(read, manifest);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
