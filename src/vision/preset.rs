//! What is known of a sensor's products: which bands show natural colours, and which stored values are dark and bright.
//!
//! Sources:
//! - Sentinel-2: ESA, Sentinel-2 Products Specification Document, S2-PDGS-TAS-DI-PSD, 14.9 on: reflectance is (value +
//!   `RADIO_ADD_OFFSET` or `BOA_ADD_OFFSET`) / `QUANTIFICATION_VALUE`; the offset is -1000 from processing baseline 04.00 (25
//!   January 2022) on and 0 before; the value 0 is no data.
//! - Landsat: USGS, Landsat 8-9 Collection 2 Level 2 Science Product Guide, LSDS-1619: surface reflectance is value x 0.0000275
//!   - 0.2; the value 0 is fill.
//! - NAIP: USDA, National Agriculture Imagery Program: 8-bit red, green, blue, near infrared.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::raster::{BandIndex, BandName, BandPlan, RasterError, RasterInfo, SampleType, file_of};

/// Reflectance that is shown as white: land is darker, clouds and snow are not to be told apart.
const WHITE_REFLECTANCE: f64 = 0.3;
/// Sentinel-2: stored value of a reflectance of 1.
const SENTINEL2_QUANTIFICATION: f64 = 10_000.0;
/// Sentinel-2: what is added to a stored value, from this processing baseline on.
const SENTINEL2_OFFSET: f64 = -1000.0;
const SENTINEL2_OFFSET_BASELINE: u32 = 400;
/// Landsat Collection 2, level 2: reflectance of a stored value of 1, and of 0.
const LANDSAT_SCALE: f64 = 0.000_027_5;
const LANDSAT_OFFSET: f64 = -0.2;
/// Directories above a raster in which a product's metadata is looked for.
const PRODUCT_DEPTH: usize = 6;
/// Most bytes of a product's metadata that are read.
const MAX_METADATA_BYTES: u64 = 16 << 20;

/// Whose product a raster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PresetMode {
    /// Found out from the file's name, its metadata and its bands; none where they do not tell.
    #[default]
    Auto,
    /// Nobody's: bands and stretch as for any raster.
    None,
    /// A certain sensor's.
    Named(Preset),
}

/// A sensor's product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Sentinel-2, level 1C or 2A.
    Sentinel2,
    /// Landsat 4 to 9, Collection 2, level 2.
    LandsatC2,
    /// National Agriculture Imagery Program.
    Naip,
    /// 8-bit red, green, blue in the first three bands.
    Rgb8,
}

impl Preset {
    const ALL: [Self; 4] = [Self::Sentinel2, Self::LandsatC2, Self::Naip, Self::Rgb8];

    /// As it is typed and recorded.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sentinel2 => "sentinel2",
            Self::LandsatC2 => "landsat-c2",
            Self::Naip => "naip",
            Self::Rgb8 => "rgb8",
        }
    }
}

/// A text that names no preset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("preset {text:?}: expected auto, none, sentinel2, landsat-c2, naip or rgb8")]
pub struct PresetParseError {
    /// The text.
    pub text: String,
}

impl FromStr for PresetMode {
    type Err = PresetParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            _ => {
                let named = Preset::ALL.into_iter().find(|preset| preset.name() == text);
                named.map(Self::Named).ok_or_else(|| PresetParseError { text: text.to_owned() })
            }
        }
    }
}

impl fmt::Display for PresetMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Auto => "auto",
            Self::None => "none",
            Self::Named(preset) => preset.name(),
        })
    }
}

/// What a preset says about a raster.
#[derive(Debug, Clone, PartialEq)]
pub struct PresetRule {
    /// The preset.
    pub preset: Preset,
    /// Bands for red, green and blue, or for grey.
    pub bands: BandPlan,
    /// Stored values that are shown as black and white; `None`: samples are display values.
    pub display: Option<[f32; 2]>,
    /// The stored value that means "no data", if the file itself does not say.
    pub nodata: Option<f64>,
    /// Why this one, and what it does: for a user and for the record.
    pub reason: String,
    /// What the user should check.
    pub warning: Option<String>,
}

impl PresetRule {
    /// Applies a preset to a raster; `None` where none is known to fit.
    ///
    /// `bands` are those that the user named; `offset` overrides what is added to stored values of Sentinel-2.
    ///
    /// # Errors
    /// [`RasterError::PresetMismatch`] if the preset that was named does not fit; those of [`BandPlan::choose`].
    pub fn find(
        mode: PresetMode,
        bands: Option<&[BandName]>,
        offset: Option<f64>,
        info: &RasterInfo,
    ) -> Result<Option<Self>, RasterError> {
        let (preset, because) = match mode {
            PresetMode::None => return Ok(None),
            PresetMode::Named(preset) => (preset, "named".to_owned()),
            PresetMode::Auto => match recognise(info) {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        match preset {
            Preset::Sentinel2 => sentinel2(info, bands, offset, &because),
            Preset::LandsatC2 => landsat(info, bands, &because),
            Preset::Naip | Preset::Rgb8 => display_values(preset, info, bands, &because),
        }
        .map(Some)
    }
}

/// Whose product a raster is, and what tells so.
fn recognise(info: &RasterInfo) -> Option<(Preset, String)> {
    let names = names_of(&info.path);
    let by_name = |pattern: &str| names.iter().find(|name| contains(name, pattern));
    let file = names.first()?;
    // Beside the bands, products have single-band files of other things: clouds, classes, quality.
    let is_reflectance =
        info.bands.len() >= 3 || ["_B##", "_B#?", "_SR_B#"].iter().any(|part| contains(file, part));
    if !is_reflectance {
        return None;
    }
    if let Some(name) = by_name("S2?_MSIL#?_") {
        return Some((Preset::Sentinel2, format!("the name {name}")));
    }
    if let Some(name) = by_name("L?##_L2SP_").or_else(|| by_name("L?##_L2SR_")) {
        return Some((Preset::LandsatC2, format!("the name {name}")));
    }
    let tag = |name: &str| info.tags.get(name).map(String::as_str).unwrap_or_default();
    if tag("SPACECRAFT_NAME").starts_with("Sentinel-2") || tag("PRODUCT_TYPE").starts_with("S2MSI") {
        return Some((Preset::Sentinel2, "the file's metadata".to_owned()));
    }
    if contains(tag("LANDSAT_PRODUCT_ID"), "L?##_L2S") {
        return Some((Preset::LandsatC2, "the file's metadata".to_owned()));
    }
    let has = |name: &str| BandName::Name(name.to_owned()).find(info).is_ok();
    let is_described = |start: &str| info.bands.iter().any(|band| band.description.starts_with(start));
    if has("B8A") && has("B04") && info.bands[0].sample_type != SampleType::U8 {
        return Some((Preset::Sentinel2, "a band B8A".to_owned()));
    }
    if is_described("SR_B") && info.bands[0].sample_type == SampleType::Integer {
        return Some((Preset::LandsatC2, "bands SR_B*".to_owned()));
    }
    let is_naip = contains(file, "m_#######_??_##_") || file.to_lowercase().contains("naip");
    let is_8_bit = matches!(info.bands.len(), 3 | 4) && info.bands[0].sample_type == SampleType::U8;
    (is_naip && is_8_bit).then(|| (Preset::Naip, "the file's name".to_owned()))
}

fn sentinel2(
    info: &RasterInfo,
    bands: Option<&[BandName]>,
    offset: Option<f64>,
    because: &str,
) -> Result<PresetRule, RasterError> {
    let bands = bands_of(info, bands, &["B04", "B03", "B02"], 10)?;
    let (first, nodata) = (&info.bands[bands.bands()[0].number() - 1], nodata_unless_told(info));
    let rule = |display, nodata, reason: String, warning| PresetRule {
        preset: Preset::Sentinel2,
        bands,
        display,
        nodata,
        reason: format!("Sentinel-2 ({because}): {reason}"),
        warning,
    };
    if first.sample_type == SampleType::U8 {
        return Ok(rule(None, None, "8-bit true colours".to_owned(), None));
    }
    let scaled = first.calibration.filter(|_| offset.is_none());
    if let Some(calibration) = scaled {
        let reason =
            format!("reflectance = value x {} + {}, as the file says", calibration.scale, calibration.offset);
        let display = [calibration.stored(0.0), calibration.stored(WHITE_REFLECTANCE)];
        return Ok(rule(Some(display), nodata, reason, None));
    }
    if first.sample_type == SampleType::Float {
        let display = [0.0, WHITE_REFLECTANCE as f32];
        return Ok(rule(Some(display), nodata, "floating point values are reflectance".to_owned(), None));
    }
    let (offset, source) = match offset {
        Some(offset) => (Some(offset), "named".to_owned()),
        None => product_offset(info).map_or((None, String::new()), |(offset, source)| (Some(offset), source)),
    };
    let added = offset.unwrap_or(0.0);
    let warning = offset.is_none().then(|| {
        "the processing baseline of this Sentinel-2 scene is not known: from 04.00 on, values are 1000 too high; \
         --s2-offset -1000 says so, --s2-offset 0 that it is older"
            .to_owned()
    });
    let source = if source.is_empty() { "not known".to_owned() } else { source };
    let display = [-added, WHITE_REFLECTANCE * SENTINEL2_QUANTIFICATION - added].map(|value| value as f32);
    let reason = format!("reflectance = (value + {added}) / {SENTINEL2_QUANTIFICATION}, offset {source}");
    Ok(rule(Some(display), nodata, reason, warning))
}

/// What is added to stored values, and where that is written: the product's metadata, or its baseline.
fn product_offset(info: &RasterInfo) -> Option<(f64, String)> {
    if let Some((name, offset)) = product_metadata(&info.path).and_then(|(name, text)| {
        let offsets: Vec<f64> =
            ["BOA_ADD_OFFSET", "RADIO_ADD_OFFSET"].iter().flat_map(|tag| elements(&text, tag)).collect();
        // Products of before the offset have a quantification value, and no list of offsets.
        let is_older = offsets.is_empty() && text.contains("QUANTIFICATION_VALUE");
        let offset = offsets.first().copied().or(is_older.then_some(0.0))?;
        Some((name, offset))
    }) {
        return Some((offset, format!("from {name}")));
    }
    let of_baseline =
        |baseline: u32| if baseline >= SENTINEL2_OFFSET_BASELINE { SENTINEL2_OFFSET } else { 0.0 };
    if let Some(baseline) = info.tags.get("PROCESSING_BASELINE")
        && let Ok(number) = baseline.replace('.', "").parse()
    {
        return Some((of_baseline(number), format!("of processing baseline {baseline}")));
    }
    let name = names_of(&info.path).into_iter().find(|name| contains(name, "_N####_"))?;
    let start =
        (0..name.len()).find(|&start| name.get(start..).is_some_and(|rest| begins(rest, "_N####_")))?;
    let digits = name.get(start + 2..start + 6)?;
    Some((
        of_baseline(digits.parse().ok()?),
        format!("of processing baseline {}.{}", &digits[..2], &digits[2..]),
    ))
}

/// The metadata file of the product that a raster is a part of: its name and text.
fn product_metadata(path: &Path) -> Option<(String, String)> {
    let path = absolute(path);
    let directories = path.parent()?.ancestors().take(PRODUCT_DEPTH);
    let names = ["MTD_MSIL2A.xml", "MTD_MSIL1C.xml"];
    let found = directories
        .flat_map(|directory| names.map(|name| directory.join(name)))
        .find(|path| path.is_file())?;
    let bytes = std::fs::metadata(&found).ok()?.len();
    let text = (bytes <= MAX_METADATA_BYTES).then(|| std::fs::read_to_string(&found).ok())??;
    Some((found.file_name()?.to_string_lossy().into_owned(), text))
}

/// The numbers in elements of this name.
fn elements(text: &str, name: &str) -> Vec<f64> {
    let start = format!("<{name}");
    let values = text.split(start.as_str()).skip(1).filter_map(|rest| {
        let (_, content) = rest.split_once('>')?;
        content.split('<').next()?.trim().parse().ok()
    });
    values.collect()
}

fn landsat(info: &RasterInfo, bands: Option<&[BandName]>, because: &str) -> Result<PresetRule, RasterError> {
    // Bands are numbered otherwise before Landsat 8.
    let is_older =
        names_of(&info.path).iter().any(|name| contains(name, "LT0#_L2S") || contains(name, "LE0#_L2S"))
            || (BandName::Name("B5".to_owned()).find(info).is_ok()
                && BandName::Name("B6".to_owned()).find(info).is_err());
    let bands = bands_of(info, bands, if is_older { &["B3", "B2", "B1"] } else { &["B4", "B3", "B2"] }, 7)?;
    let first = &info.bands[bands.bands()[0].number() - 1];
    let (display, reason) = match (first.calibration, first.sample_type) {
        (_, SampleType::Float) => {
            ([0.0, WHITE_REFLECTANCE as f32], "floating point values are reflectance".to_owned())
        }
        (_, SampleType::U8) => return Err(mismatch(info, Preset::LandsatC2, "16-bit samples")),
        (Some(calibration), _) => (
            [calibration.stored(0.0), calibration.stored(WHITE_REFLECTANCE)],
            format!("reflectance = value x {} + {}, as the file says", calibration.scale, calibration.offset),
        ),
        (None, _) => (
            [0.0, WHITE_REFLECTANCE]
                .map(|reflectance| ((reflectance - LANDSAT_OFFSET) / LANDSAT_SCALE) as f32),
            format!("reflectance = value x {LANDSAT_SCALE} - {}", -LANDSAT_OFFSET),
        ),
    };
    Ok(PresetRule {
        preset: Preset::LandsatC2,
        bands,
        display: Some(display),
        nodata: nodata_unless_told(info),
        reason: format!("Landsat Collection 2 level 2 ({because}): {reason}"),
        warning: None,
    })
}

fn display_values(
    preset: Preset,
    info: &RasterInfo,
    bands: Option<&[BandName]>,
    because: &str,
) -> Result<PresetRule, RasterError> {
    let first_three: Option<Vec<BandName>> =
        (1..=3).map(|number| BandIndex::new(number).map(BandName::Index)).collect();
    if info.bands.len() < 3 || info.bands.iter().take(3).any(|band| band.sample_type != SampleType::U8) {
        return Err(mismatch(info, preset, "three bands of 8 bits or more"));
    }
    let what = if preset == Preset::Naip { "NAIP" } else { "8-bit colours" };
    Ok(PresetRule {
        preset,
        bands: BandPlan::choose(info, bands.or(first_three.as_deref()))?,
        display: None,
        nodata: None,
        reason: format!("{what} ({because}): red, green and blue as they are"),
        warning: None,
    })
}

/// The bands that the user named; else red, green and blue by their names; in a stack of at least so many bands without names,
/// the fourth, third and second; else as for any raster.
fn bands_of(
    info: &RasterInfo,
    requested: Option<&[BandName]>,
    names: &[&str; 3],
    stack: usize,
) -> Result<BandPlan, RasterError> {
    if requested.is_some() {
        return BandPlan::choose(info, requested);
    }
    let named: Vec<BandName> = names.iter().map(|name| BandName::Name((*name).to_owned())).collect();
    if named.iter().all(|name| name.find(info).is_ok()) {
        return BandPlan::choose(info, Some(&named));
    }
    let is_nameless = info.bands.iter().all(|band| band.description.is_empty());
    if is_nameless && info.bands.len() >= stack {
        let numbers: Vec<BandName> =
            [4, 3, 2].into_iter().filter_map(BandIndex::new).map(BandName::Index).collect();
        return BandPlan::choose(info, Some(&numbers));
    }
    BandPlan::choose(info, None)
}

/// 0 is no data in these products; files made from them often forget to say so.
fn nodata_unless_told(info: &RasterInfo) -> Option<f64> {
    info.bands.iter().all(|band| band.nodata.is_none()).then_some(0.0)
}

fn mismatch(info: &RasterInfo, preset: Preset, expected: &'static str) -> RasterError {
    RasterError::PresetMismatch {
        path: info.path.clone(),
        preset: preset.name().to_owned(),
        expected: expected.to_owned(),
    }
}

/// The file's name, and those of the directories of its product.
fn names_of(path: &Path) -> Vec<String> {
    let path = absolute(path);
    let parts = path.ancestors().take(PRODUCT_DEPTH).filter_map(Path::file_name);
    parts.map(|name| name.to_string_lossy().into_owned()).collect()
}

/// The path of the file from the root, so that it has the names of all directories above; as it is, if there is no file.
fn absolute(path: &Path) -> PathBuf {
    let file = file_of(path);
    std::fs::canonicalize(file).unwrap_or_else(|_| file.to_path_buf())
}

/// True if a text holds a pattern: `#` stands for a digit, `?` for a letter.
fn contains(text: &str, pattern: &str) -> bool {
    text.char_indices().any(|(start, _)| begins(&text[start..], pattern))
}

fn begins(text: &str, pattern: &str) -> bool {
    let mut characters = text.chars();
    pattern.chars().all(|expected| {
        characters.next().is_some_and(|found| match expected {
            '#' => found.is_ascii_digit(),
            '?' => found.is_ascii_alphabetic(),
            _ => found == expected,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_products_are_recognised() {
        assert!(contains("S2B_MSIL2A_20220125T101239_N0400_R022_T32TQM.SAFE", "S2?_MSIL#?_"));
        assert!(contains("LC08_L2SP_191027_20200801_20200914_02_T1_SR_B4.TIF", "L?##_L2SP_"));
        assert!(contains("m_4609963_ne_14_060_20190719.tif", "m_#######_??_##_"));
        for (text, pattern) in
            [("S2B_MSIL", "S2?_MSIL#?_"), ("", "#"), ("éé", "??"), ("LC08_L1TP_1", "L?##_L2SP_")]
        {
            assert!(!contains(text, pattern), "{text}");
        }
    }

    #[test]
    fn presets_read_as_they_are_written() {
        for text in ["auto", "none", "sentinel2", "landsat-c2", "naip", "rgb8"] {
            assert_eq!(text.parse::<PresetMode>().unwrap().to_string(), text);
        }
        assert!("Sentinel".parse::<PresetMode>().is_err());
    }

    #[test]
    fn offsets_are_read_from_elements() {
        let text = "<Radiometric_Offset_List><RADIO_ADD_OFFSET band_id=\"0\">-1000</RADIO_ADD_OFFSET>\
                    <RADIO_ADD_OFFSET band_id=\"1\"> -999 </RADIO_ADD_OFFSET></Radiometric_Offset_List>";
        assert_eq!(elements(text, "RADIO_ADD_OFFSET"), [-1000.0, -999.0]);
        assert!(elements(text, "BOA_ADD_OFFSET").is_empty());
    }
}
