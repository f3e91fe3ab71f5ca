//! When imagery was taken.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// An item of a file's metadata that says when the imagery was taken, or began to be.
pub(super) struct TimeItem {
    pub(super) domain: &'static str,
    pub(super) name: &'static str,
    /// How it writes a time, which is in UTC; empty: RFC 3339.
    format: &'static str,
}

/// The items that say nothing else, the surest first.
///
/// The reader of satellite metadata (domain `IMAGERY`) and the drivers of Sentinel-2, NITF 2.1 and ENVI say when the sensor looked. The
/// `DateTime` of TIFF may be when the file was made, so it comes last. What has no zone (EXIF), or tells of processing
/// (`GENERATION_TIME`), is left out.
pub(super) const TIME_ITEMS: [TimeItem; 6] = [
    TimeItem { domain: "IMAGERY", name: "ACQUISITIONDATETIME", format: "%Y-%m-%d %H:%M:%S%.f" },
    TimeItem { domain: "", name: "PRODUCT_START_TIME", format: "" },
    TimeItem { domain: "", name: "DATATAKE_1_DATATAKE_SENSING_START", format: "" },
    TimeItem { domain: "", name: "NITF_IDATIM", format: "%Y%m%d%H%M%S" },
    TimeItem { domain: "ENVI", name: "acquisition_time", format: "" },
    TimeItem { domain: "", name: "TIFFTAG_DATETIME", format: "%Y:%m:%d %H:%M:%S" },
];

/// When imagery was taken, and who says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acquisition {
    /// RFC 3339, UTC; the beginning, if it took longer.
    pub time: String,
    /// The end of an interval, RFC 3339, UTC; none was before there were intervals.
    #[serde(default)]
    pub end: Option<String>,
    /// The metadata item that says so, or `user`.
    pub source: String,
}

impl Acquisition {
    /// Who says so if the user does.
    pub const USER: &str = "user";

    /// From what a file says in a metadata item; `None` if it is no time.
    pub(super) fn from_file(item: &TimeItem, text: &str) -> Option<Self> {
        let text = text.trim();
        // Every item may be written as RFC 3339, as some programs do.
        let naive = NaiveDateTime::parse_from_str(text, item.format).ok().filter(|_| !item.format.is_empty());
        let time = naive.map(|time| time.and_utc()).or_else(|| utc(text))?;
        Some(Self { time: written(time), end: None, source: item.name.to_owned() })
    }
}

impl fmt::Display for Acquisition {
    /// As a user writes it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.time)?;
        self.end.as_ref().map_or(Ok(()), |end| write!(formatter, "/{end}"))
    }
}

/// A text that is no time: expected RFC 3339, with a time zone, or two of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcquisitionParseError {
    /// No date and time with a zone.
    #[error(
        "expected a date and time with its zone, for example 2026-08-01T10:20:30Z, or an interval of two: BEGIN/END"
    )]
    NoTime,
    /// An interval that ends before it begins.
    #[error("the interval ends before it begins; expected BEGIN/END")]
    Backwards,
}

impl FromStr for Acquisition {
    type Err = AcquisitionParseError;

    /// From what a user says: a time, or an interval `BEGIN/END`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = |text: &str| utc(text.trim()).ok_or(AcquisitionParseError::NoTime);
        let (begin, end) = match text.split_once('/') {
            Some((begin, end)) => (time(begin)?, Some(time(end)?)),
            None => (time(text)?, None),
        };
        if end.is_some_and(|end| end < begin) {
            return Err(AcquisitionParseError::Backwards);
        }
        Ok(Self { time: written(begin), end: end.map(written), source: Self::USER.to_owned() })
    }
}

fn utc(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
}

fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time_of(name: &str, text: &str) -> Option<String> {
        let item = TIME_ITEMS.iter().find(|item| item.name == name).unwrap();
        Acquisition::from_file(item, text).map(|found| found.time)
    }

    #[test]
    fn every_item_of_a_file_is_read_as_its_driver_writes_it_in_utc() {
        for (name, text, expected) in [
            ("ACQUISITIONDATETIME", "2012-02-25 00:42:37.789", "2012-02-25T00:42:37.789Z"),
            ("ACQUISITIONDATETIME", "2012-02-25T00:42:37Z", "2012-02-25T00:42:37Z"),
            ("PRODUCT_START_TIME", "2026-08-01T10:20:31.024Z", "2026-08-01T10:20:31.024Z"),
            ("NITF_IDATIM", "20260801102030", "2026-08-01T10:20:30Z"),
            ("acquisition_time", "2005-08-13T20:07:47-07:00", "2005-08-14T03:07:47Z"),
            ("TIFFTAG_DATETIME", "2020:06:01 12:00:05", "2020-06-01T12:00:05Z"),
        ] {
            assert_eq!(time_of(name, text).as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn what_is_no_time_or_could_be_several_is_none() {
        for (name, text) in [
            ("TIFFTAG_DATETIME", ""),
            ("TIFFTAG_DATETIME", "0000:00:00 00:00:00"),
            ("TIFFTAG_DATETIME", "2020:13:01 12:00:05"),
            ("TIFFTAG_DATETIME", "yesterday"),
            ("PRODUCT_START_TIME", "2026-08-01 10:20:31"),
            // NITF writes hyphens for what is not known, and had another order before version 2.1.
            ("NITF_IDATIM", "20260801------"),
            ("NITF_IDATIM", "01102030ZAUG26"),
            ("acquisition_time", "2005-08-13T20:07:47"),
        ] {
            assert_eq!(time_of(name, text), None, "{name} {text}");
        }
    }

    #[test]
    fn times_of_users_have_a_zone() {
        let time: Acquisition = "2026-08-01T12:20:30+02:00".parse().unwrap();
        assert_eq!((time.time.as_str(), time.source.as_str()), ("2026-08-01T10:20:30Z", "user"));
        for wrong in ["2026-08-01", "2026-08-01T10:20:30", "2026-02-30T10:20:30Z", "now", "../..", ""] {
            assert_eq!(wrong.parse::<Acquisition>(), Err(AcquisitionParseError::NoTime), "{wrong}");
        }
    }

    #[test]
    fn users_may_give_an_interval_that_is_closed_and_runs_forward() {
        let interval: Acquisition = "2026-08-01T00:00:00Z/2026-08-31T23:59:59+01:00".parse().unwrap();
        assert_eq!(interval.to_string(), "2026-08-01T00:00:00Z/2026-08-31T22:59:59Z");
        assert_eq!(interval.to_string().parse(), Ok(interval));
        assert_eq!(
            "2026-08-02T00:00:00Z/2026-08-01T00:00:00Z".parse::<Acquisition>(),
            Err(AcquisitionParseError::Backwards)
        );
        for open in ["../2026-08-01T00:00:00Z", "2026-08-01T00:00:00Z/..", "2026-08-01T00:00:00Z/"] {
            assert_eq!(open.parse::<Acquisition>(), Err(AcquisitionParseError::NoTime), "{open}");
        }
    }
}
