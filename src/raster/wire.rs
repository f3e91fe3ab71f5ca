//! What a program and its reader process say to each other: frames on a socket.
//!
//! A frame is the length of its payload (u32, little-endian) and the payload ([postcard](https://postcard.jamesmunns.com/wire-format)).
//! The samples of a tile follow its frame as they are, since they are many.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use ndarray::{Array2, Array3};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{BandPlan, RasterError, RasterInfo, ReadRequest};
use crate::geo::Window;
use crate::image::Tile;

/// Longest payload that is believed, bytes.
const MAX_PAYLOAD: u32 = 64 << 20;
/// Most samples of a tile that are believed.
const MAX_SAMPLES: usize = 1 << 30;

/// What a reader is asked; about the raster that it opened last.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Answered with [`Response::Opened`].
    Open(PathBuf),
    /// A window, and a value that hides pixels; answered with [`Response::Tile`], and the tile's samples behind it if there is one.
    Read(ReadRequest, Option<f64>),
    /// Answered with [`Response::Places`].
    ToWgs84(Vec<(f64, f64)>),
    /// Answered with [`Response::Absent`].
    IsAbsent(Window, BandPlan),
}

/// What a reader answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Response {
    Opened(Result<Box<RasterInfo>, RasterError>),
    Tile(Result<TileShape, RasterError>),
    Places(Option<Vec<(f64, f64)>>),
    Absent(bool),
}

/// The shape of a tile whose samples follow: `bands * height * width` f32, then `height * width` bytes, 1 where valid.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct TileShape {
    window: Window,
    bands: usize,
    height: usize,
    width: usize,
}

impl TileShape {
    pub(super) fn of(tile: &Tile) -> Self {
        let (bands, height, width) = tile.samples().dim();
        Self { window: tile.window(), bands, height, width }
    }
}

/// Writes a frame.
pub(super) fn send(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let payload = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let length = u32::try_from(payload.len()).ok().filter(|&length| length <= MAX_PAYLOAD);
    let length = length.ok_or_else(|| io::Error::other("a message is too long"))?;
    stream.write_all(&length.to_le_bytes())?;
    stream.write_all(&payload)
}

/// Reads a frame.
pub(super) fn receive<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MAX_PAYLOAD {
        return Err(io::Error::other("a message is too long"));
    }
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload)?;
    postcard::from_bytes(&payload).map_err(io::Error::other)
}

/// Writes the samples of a tile.
pub(super) fn send_samples(stream: &mut impl Write, tile: &Tile) -> io::Result<()> {
    let mut samples = Vec::with_capacity(tile.samples().len() * size_of::<f32>());
    tile.samples().iter().for_each(|sample| samples.extend_from_slice(&sample.to_le_bytes()));
    stream.write_all(&samples)?;
    let valid: Vec<u8> = tile.valid().iter().map(|&valid| u8::from(valid)).collect();
    stream.write_all(&valid)
}

/// Reads the samples of a tile.
pub(super) fn receive_samples(stream: &mut impl Read, shape: TileShape) -> io::Result<Tile> {
    let TileShape { window, bands, height, width } = shape;
    let wrong = || io::Error::other("a tile without a shape");
    let pixels = height.checked_mul(width).ok_or_else(wrong)?;
    let count = pixels.checked_mul(bands).filter(|&count| count <= MAX_SAMPLES).ok_or_else(wrong)?;
    let mut bytes = vec![0; count * size_of::<f32>()];
    stream.read_exact(&mut bytes)?;
    let samples = bytes.as_chunks().0.iter().map(|&sample| f32::from_le_bytes(sample)).collect();
    let mut valid = vec![0; pixels];
    stream.read_exact(&mut valid)?;
    let samples = Array3::from_shape_vec((bands, height, width), samples).map_err(io::Error::other)?;
    let valid = valid.into_iter().map(|valid| valid != 0).collect();
    let valid = Array2::from_shape_vec((height, width), valid).map_err(io::Error::other)?;
    Tile::try_new(window, samples, valid).map_err(io::Error::other)
}

/// Causes from other libraries, which cross as their words.
pub(super) mod source {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::raster::error::Source;

    pub(in crate::raster) fn serialize<S: Serializer>(
        source: &Source,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(source)
    }

    pub(in crate::raster) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Source, D::Error> {
        String::deserialize(deserializer).map(Source::from)
    }
}

/// Errors of the operating system, which cross as their number, or else their words.
pub(super) mod io_error {
    use std::io;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::raster) fn serialize<S: Serializer>(
        error: &io::Error,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        (error.raw_os_error(), error.to_string()).serialize(serializer)
    }

    pub(in crate::raster) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<io::Error, D::Error> {
        let (number, words) = <(Option<i32>, String)>::deserialize(deserializer)?;
        Ok(number.map_or_else(|| io::Error::other(words), io::Error::from_raw_os_error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_crosses_with_its_not_a_numbers_and_its_mask() {
        let samples = Array3::from_shape_fn((2, 3, 4), |(band, row, col)| {
            if row == 1 { f32::NAN } else { (band * 100 + row * 10 + col) as f32 }
        });
        let valid = Array2::from_shape_fn((3, 4), |(row, col)| row != 1 && col != 2);
        let window = Window { col: 5, row: 6, width: 8, height: 6 };
        let tile = Tile::try_new(window, samples, valid).unwrap();
        let mut bytes = Vec::new();
        send_samples(&mut bytes, &tile).unwrap();
        let back = receive_samples(&mut bytes.as_slice(), TileShape::of(&tile)).unwrap();
        assert_eq!((back.window(), back.valid()), (tile.window(), tile.valid()));
        let bits = |tile: &Tile| tile.samples().iter().map(|sample| sample.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(&tile));
    }

    #[test]
    fn errors_cross_with_their_causes() {
        let path = PathBuf::from("scene.tif");
        let missing = RasterError::Unreadable { path: path.clone(), source: io::ErrorKind::NotFound.into() };
        let window = Window { col: 1, row: 2, width: 3, height: 4 };
        let read = RasterError::Read { path, window, source: "block 3 is damaged".into() };
        for error in [missing, read] {
            let words = |error: &RasterError| {
                (error.to_string(), std::error::Error::source(error).map(ToString::to_string))
            };
            let mut bytes = Vec::new();
            send(&mut bytes, &Response::Opened(Err(error))).unwrap();
            let back = receive::<Response>(&mut bytes.as_slice()).unwrap();
            let mut again = Vec::new();
            send(&mut again, &back).unwrap();
            assert_eq!(bytes, again);
            let Response::Opened(Err(back)) = back else { panic!("an error crosses as one") };
            assert!(words(&back).1.is_some_and(|cause| !cause.is_empty()), "{back}");
        }
    }

    #[test]
    fn what_is_too_long_or_cut_is_refused() {
        assert!(receive::<Request>(&mut u32::MAX.to_le_bytes().as_slice()).is_err());
        let mut bytes = Vec::new();
        send(&mut bytes, &Request::ToWgs84(vec![(1.0, 2.0)])).unwrap();
        assert!(receive::<Request>(&mut bytes.as_slice()).is_ok());
        assert!(receive::<Request>(&mut &bytes[..bytes.len() - 1]).is_err());
    }
}
