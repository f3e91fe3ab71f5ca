//! `rsmoe` says what is in remote-sensing imagery.

// values and arithmetic
pub mod geo;
pub mod image;

// files
pub mod raster;

// one model's stages
pub mod vision;
