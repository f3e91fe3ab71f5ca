//! Which bands become red, green and blue.

use std::num::NonZeroUsize;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{BandInfo, ColorRole, RasterError, RasterInfo, SampleType};

/// The number of a band in its file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BandIndex(NonZeroUsize);

impl BandIndex {
    /// From a number counted from 1; `None` for 0.
    pub fn new(number: usize) -> Option<Self> {
        NonZeroUsize::new(number).map(Self)
    }

    /// The number, counted from 1.
    pub fn number(self) -> usize {
        self.0.get()
    }
}

impl std::fmt::Display for BandIndex {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The bands that a picture is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BandPlan {
    /// Three bands: red, green, blue.
    Rgb([BandIndex; 3]),
    /// One band, shown in grey.
    Gray(BandIndex),
    /// One band of indexes into a colour table; read as red, green, blue.
    Palette(BandIndex),
}

impl BandPlan {
    /// Decides on the bands: the requested ones (three, or one), else by colour interpretation, else the only band, else
    /// the first three of up to four.
    ///
    /// # Errors
    /// [`RasterError::BandMissing`], [`RasterError::BandCount`], [`RasterError::BandChoice`] where nothing tells which of
    /// many bands to show, [`RasterError::ComplexSamples`].
    pub fn choose(info: &RasterInfo, requested: Option<&[BandIndex]>) -> Result<Self, RasterError> {
        let plan = match requested {
            Some(bands) => from_request(info, bands)?,
            None => from_roles(info)?,
        };
        for band in plan.bands() {
            let found = find(info, band).ok_or_else(|| missing(&info.path, band, info.bands.len()))?;
            if found.sample_type == SampleType::Complex {
                return Err(RasterError::ComplexSamples { path: info.path.clone(), band });
            }
        }
        Ok(plan)
    }

    /// The bands to read.
    pub fn bands(&self) -> Vec<BandIndex> {
        match self {
            Self::Rgb(bands) => bands.to_vec(),
            Self::Gray(band) | Self::Palette(band) => vec![*band],
        }
    }

    /// True if what is read is already in display range: 8-bit samples or palette colours.
    pub fn is_display_range(&self, info: &RasterInfo) -> bool {
        matches!(self, Self::Palette(_))
            || self
                .bands()
                .into_iter()
                .all(|band| find(info, band).is_some_and(|found| found.sample_type == SampleType::U8))
    }
}

fn from_request(info: &RasterInfo, bands: &[BandIndex]) -> Result<BandPlan, RasterError> {
    match *bands {
        [band] => Ok(single(find(info, band).ok_or_else(|| missing(&info.path, band, info.bands.len()))?)),
        [red, green, blue] => Ok(BandPlan::Rgb([red, green, blue])),
        _ => Err(RasterError::BandCount { found: bands.len() }),
    }
}

fn from_roles(info: &RasterInfo) -> Result<BandPlan, RasterError> {
    let with_role = |role| info.bands.iter().find(|band| band.role == role).map(|band| band.index);
    if let (Some(red), Some(green), Some(blue)) =
        (with_role(ColorRole::Red), with_role(ColorRole::Green), with_role(ColorRole::Blue))
    {
        return Ok(BandPlan::Rgb([red, green, blue]));
    }
    let colors: Vec<&BandInfo> = info.bands.iter().filter(|band| band.role != ColorRole::Alpha).collect();
    match *colors {
        [] => Err(RasterError::NoBands { path: info.path.clone() }),
        [only] | [only, _] => Ok(single(only)),
        [red, green, blue] | [red, green, blue, _] => Ok(BandPlan::Rgb([red.index, green.index, blue.index])),
        _ => Err(RasterError::BandChoice {
            path: info.path.clone(),
            bands: info.bands.iter().map(name).collect(),
        }),
    }
}

fn single(band: &BandInfo) -> BandPlan {
    if band.role == ColorRole::Palette { BandPlan::Palette(band.index) } else { BandPlan::Gray(band.index) }
}

fn find(info: &RasterInfo, band: BandIndex) -> Option<&BandInfo> {
    info.bands.get(band.number() - 1)
}

fn missing(path: &Path, band: BandIndex, count: usize) -> RasterError {
    RasterError::BandMissing { path: path.to_path_buf(), band, count }
}

fn name(band: &BandInfo) -> String {
    if band.description.is_empty() {
        band.index.to_string()
    } else {
        format!("{} ({})", band.index, band.description)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::Size;
    use crate::raster::Georeference;

    fn info(roles: &[ColorRole]) -> RasterInfo {
        let band = |(position, &role): (usize, &ColorRole)| BandInfo {
            index: BandIndex::new(position + 1).unwrap(),
            sample_type: SampleType::U8,
            role,
            nodata: None,
            description: String::new(),
        };
        RasterInfo {
            path: "scene.tif".into(),
            driver: "GTiff".to_owned(),
            size: Size { width: 4, height: 3 },
            has_overviews: false,
            bands: roles.iter().enumerate().map(band).collect(),
            crs: None,
            georeference: Georeference::Missing { reason: "none".to_owned() },
            credit: None,
            acquired: None,
        }
    }

    fn numbers(plan: BandPlan) -> Vec<usize> {
        plan.bands().into_iter().map(BandIndex::number).collect()
    }

    fn bands(numbers: &[usize]) -> Vec<BandIndex> {
        numbers.iter().map(|&number| BandIndex::new(number).unwrap()).collect()
    }

    use ColorRole::{Alpha, Blue, Gray, Green, Other, Palette, Red};

    #[test]
    fn colour_interpretation_beats_position() {
        let plan = BandPlan::choose(&info(&[Blue, Green, Red, Other, Other, Other]), None).unwrap();
        assert_eq!(numbers(plan), [3, 2, 1]);
    }

    #[test]
    fn without_colours_the_first_three_of_up_to_four_are_taken() {
        assert_eq!(numbers(BandPlan::choose(&info(&[Gray, Other, Other]), None).unwrap()), [1, 2, 3]);
        assert_eq!(numbers(BandPlan::choose(&info(&[Other; 4]), None).unwrap()), [1, 2, 3]);
        assert_eq!(numbers(BandPlan::choose(&info(&[Gray, Alpha]), None).unwrap()), [1]);
    }

    #[test]
    fn many_bands_without_a_hint_are_an_error_that_names_them() {
        let error = BandPlan::choose(&info(&[Other; 13]), None).unwrap_err();
        assert!(matches!(error, RasterError::BandChoice { ref bands, .. } if bands.len() == 13));
        assert!(error.hint().unwrap().contains("--bands"));
    }

    #[test]
    fn a_palette_is_recognised_also_when_its_band_is_named() {
        assert!(matches!(BandPlan::choose(&info(&[Palette]), None), Ok(BandPlan::Palette(_))));
        assert!(matches!(BandPlan::choose(&info(&[Palette]), Some(&bands(&[1]))), Ok(BandPlan::Palette(_))));
    }

    #[test]
    fn requested_bands_must_exist_and_be_one_or_three() {
        let four = info(&[Other; 4]);
        assert_eq!(numbers(BandPlan::choose(&four, Some(&bands(&[4, 3, 2]))).unwrap()), [4, 3, 2]);
        assert!(matches!(
            BandPlan::choose(&four, Some(&bands(&[5, 1, 1]))),
            Err(RasterError::BandMissing { count: 4, .. })
        ));
        assert!(matches!(
            BandPlan::choose(&four, Some(&bands(&[1, 2]))),
            Err(RasterError::BandCount { found: 2 })
        ));
    }

    #[test]
    fn complex_samples_have_no_picture() {
        let mut radar = info(&[Gray]);
        radar.bands[0].sample_type = SampleType::Complex;
        assert!(matches!(BandPlan::choose(&radar, None), Err(RasterError::ComplexSamples { .. })));
    }
}
