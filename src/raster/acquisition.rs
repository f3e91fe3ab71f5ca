//! When imagery was taken.

use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// How files write it, in UTC: the `ACQUISITIONDATETIME` of GDAL's readers of satellite metadata, and the `DateTime` of TIFF.
const FILE_FORMATS: [&str; 2] = ["%Y-%m-%d %H:%M:%S%.f", "%Y:%m:%d %H:%M:%S"];

/// When imagery was taken, and who says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acquisition {
    /// RFC 3339, UTC.
    pub time: String,
    /// The metadata item that says so, or `user`.
    pub source: String,
}

impl Acquisition {
    /// From what a file says in a metadata item; `None` if it is no time.
    pub(super) fn from_file(item: &str, text: &str) -> Option<Self> {
        let text = text.trim();
        let local = FILE_FORMATS.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
        let time = local.map(|time| time.and_utc()).or_else(|| text.parse::<DateTime<Utc>>().ok())?;
        Some(Self { time: written(time), source: item.to_owned() })
    }
}

/// A text that is no time: expected RFC 3339, with a time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a date and time with its zone, for example 2026-08-01T10:20:30Z")]
pub struct AcquisitionParseError;

impl FromStr for Acquisition {
    type Err = AcquisitionParseError;

    /// From what a user says.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = DateTime::parse_from_rfc3339(text.trim()).map_err(|_| AcquisitionParseError)?;
        Ok(Self { time: written(time.to_utc()), source: "user".to_owned() })
    }
}

fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_files_are_utc() {
        let time = |text| Acquisition::from_file("ITEM", text).map(|found| found.time);
        assert_eq!(time("2012-02-25 00:42:37.789").unwrap(), "2012-02-25T00:42:37.789Z");
        assert_eq!(time("2020:06:01 12:00:05").unwrap(), "2020-06-01T12:00:05Z");
        assert_eq!(time("2020-06-01T12:00:05Z").unwrap(), "2020-06-01T12:00:05Z");
        for none in ["", "0000:00:00 00:00:00", "2020:13:01 12:00:05", "yesterday"] {
            assert_eq!(time(none), None, "{none}");
        }
    }

    #[test]
    fn times_of_users_have_a_zone() {
        let time: Acquisition = "2026-08-01T12:20:30+02:00".parse().unwrap();
        assert_eq!((time.time.as_str(), time.source.as_str()), ("2026-08-01T10:20:30Z", "user"));
        for wrong in ["2026-08-01", "2026-08-01T10:20:30", "2026-02-30T10:20:30Z", "now"] {
            assert_eq!(wrong.parse::<Acquisition>(), Err(AcquisitionParseError), "{wrong}");
        }
    }
}
