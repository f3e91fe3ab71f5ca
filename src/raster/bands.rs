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

/// A band as a user names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BandName {
    /// Its number in the file.
    Index(BandIndex),
    /// Its description or a word of it (`B04`, `SR_B4`), or its colour (`red`).
    Name(String),
}

/// A text that names no band.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("band {text:?}: expected a number, counted from 1, or a name")]
pub struct BandNameParseError {
    /// The text.
    pub text: String,
}

impl std::str::FromStr for BandName {
    type Err = BandNameParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let error = || BandNameParseError { text: text.to_owned() };
        if text.chars().all(|character| character.is_ascii_digit()) {
            return text.parse().ok().and_then(BandIndex::new).map(Self::Index).ok_or_else(error);
        }
        if text.starts_with('-') { Err(error()) } else { Ok(Self::Name(text.to_owned())) }
    }
}

impl std::fmt::Display for BandName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Index(index) => index.fmt(formatter),
            Self::Name(name) => formatter.write_str(name),
        }
    }
}

impl BandName {
    /// The band of a raster: the one of this description, else of this colour, else with this word in its description. Case
    /// and zeros after a letter (`B04`, `B4`) make no difference.
    ///
    /// # Errors
    /// [`RasterError::BandMissing`], [`RasterError::BandNameUnknown`] if none or more than one is meant.
    pub fn find(&self, info: &RasterInfo) -> Result<BandIndex, RasterError> {
        let name = match self {
            Self::Index(index) if index.number() <= info.bands.len() => return Ok(*index),
            Self::Index(index) => return Err(missing(&info.path, *index, info.bands.len())),
            Self::Name(name) => plain(name),
        };
        let is_described = |band: &BandInfo| plain(&band.description) == name;
        let is_colored = |band: &BandInfo| band.role.name() == Some(name.as_str());
        let has_word = |band: &BandInfo| {
            band.description
                .split(|character: char| !character.is_alphanumeric())
                .any(|word| plain(word) == name)
        };
        let tests: [&dyn Fn(&BandInfo) -> bool; 3] = [&is_described, &is_colored, &has_word];
        let found = tests.into_iter().find_map(|test| {
            let matching: Vec<BandIndex> =
                info.bands.iter().filter(|band| test(band)).map(|band| band.index).collect();
            (!matching.is_empty()).then_some(matching)
        });
        match found.as_deref() {
            Some(&[only]) => Ok(only),
            other => Err(RasterError::BandNameUnknown {
                path: info.path.clone(),
                name: self.to_string(),
                matches: other.map_or(0, <[BandIndex]>::len),
                bands: info.bands.iter().map(self::name).collect(),
            }),
        }
    }
}

/// A name in lower case, without zeros between a letter and a number.
fn plain(name: &str) -> String {
    let mut plain = String::new();
    for character in name.trim().to_lowercase().chars() {
        if character != '0' || plain.ends_with(|last: char| last.is_ascii_digit()) || plain.is_empty() {
            plain.push(character);
        }
    }
    plain
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
    /// [`RasterError::BandMissing`], [`RasterError::BandNameUnknown`], [`RasterError::BandCount`],
    /// [`RasterError::BandChoice`] where nothing tells which of many bands to show, [`RasterError::ComplexSamples`].
    pub fn choose(info: &RasterInfo, requested: Option<&[BandName]>) -> Result<Self, RasterError> {
        let plan = match requested {
            Some(names) => {
                let bands = names.iter().map(|name| name.find(info)).collect::<Result<Vec<_>, _>>()?;
                from_request(info, &bands)?
            }
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

    /// How many planes are read: those of a palette's colours are three.
    pub fn samples(&self) -> usize {
        match self {
            Self::Rgb(_) | Self::Palette(_) => 3,
            Self::Gray(_) => 1,
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
    match (band.description.as_str(), band.role.name()) {
        ("", None) => band.index.to_string(),
        ("", Some(color)) => format!("{} ({color})", band.index),
        (description, _) => format!("{} ({description})", band.index),
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
            calibration: None,
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
            tags: std::collections::BTreeMap::new(),
            subdatasets: Vec::new(),
            credit: None,
            acquired: None,
        }
    }

    fn numbers(plan: BandPlan) -> Vec<usize> {
        plan.bands().into_iter().map(BandIndex::number).collect()
    }

    fn bands(numbers: &[usize]) -> Vec<BandName> {
        numbers.iter().map(|number| number.to_string().parse().unwrap()).collect()
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
    fn bands_are_found_by_description_colour_or_word() {
        let mut scene = info(&[Blue, Green, Red, Other, Other, Other]);
        for (band, description) in
            scene.bands.iter_mut().zip(["B2", "B03", "SR_B4", "B8A", "Red edge 1 (705 nm)", "Red edge 2"])
        {
            description.clone_into(&mut band.description);
        }
        let find = |name: &str| name.parse::<BandName>().unwrap().find(&scene).map(BandIndex::number);
        for (name, number) in
            [("B02", 1), ("b3", 2), ("B4", 3), ("b8a", 4), ("red", 3), ("GREEN", 2), ("705", 5), ("4", 4)]
        {
            if name == "705" {
                assert!(find(name).is_err(), "digits are a number of a band");
            } else {
                assert_eq!(find(name).unwrap(), number, "{name}");
            }
        }
        let error = find("edge").unwrap_err();
        assert!(matches!(error, RasterError::BandNameUnknown { matches: 2, .. }), "{error}");
        let error = find("nir").unwrap_err();
        assert!(error.to_string().contains("3 (SR_B4)") && error.hint().is_some(), "{error}");
        assert!(
            "-3".parse::<BandName>().is_err()
                && "0".parse::<BandName>().is_err()
                && "".parse::<BandName>().is_err()
        );
    }

    #[test]
    fn complex_samples_have_no_picture() {
        let mut radar = info(&[Gray]);
        radar.bands[0].sample_type = SampleType::Complex;
        assert!(matches!(BandPlan::choose(&radar, None), Err(RasterError::ComplexSamples { .. })));
    }
}
