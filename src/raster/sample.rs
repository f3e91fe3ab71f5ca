//! Types of stored samples. The binding knows none of GDAL's complex types and half floats, so GDAL itself is asked.

use gdal::Metadata;
use gdal::raster::RasterBand;
use gdal_sys::GDALDataType;

use super::info::SampleType;

/// The type of a band's samples.
pub(super) fn type_of(band: &RasterBand<'_>) -> SampleType {
    let number = number_of(band);
    // Before it had a type of its own, GDAL kept signed bytes as bytes with a note.
    let is_signed = || band.metadata_item("PIXELTYPE", "IMAGE_STRUCTURE").as_deref() == Some("SIGNEDBYTE");
    match number {
        GDALDataType::GDT_Byte if is_signed() => SampleType::I8,
        GDALDataType::GDT_Byte => SampleType::U8,
        _ if is_complex(number) => SampleType::Complex,
        _ if is_floating(number) => SampleType::Float,
        _ => SampleType::Integer,
    }
}

/// Bytes of one sample of a band.
#[expect(unsafe_code, reason = "the binding counts nothing for types that it does not know")]
pub(super) fn bytes_of(band: &RasterBand<'_>) -> u64 {
    // SAFETY: a pure function of a number.
    let bytes = unsafe { gdal_sys::GDALGetDataTypeSizeBytes(number_of(band)) };
    u64::try_from(bytes).unwrap_or_default()
}

#[expect(unsafe_code, reason = "the binding maps every type that it does not know to one")]
fn number_of(band: &RasterBand<'_>) -> GDALDataType::Type {
    // SAFETY: the band is open as long as it is borrowed.
    unsafe { gdal_sys::GDALGetRasterDataType(band.c_rasterband()) }
}

#[expect(unsafe_code, reason = "the binding does not know complex types")]
fn is_complex(number: GDALDataType::Type) -> bool {
    // SAFETY: a pure function of a number.
    unsafe { gdal_sys::GDALDataTypeIsComplex(number) != 0 }
}

#[expect(unsafe_code, reason = "the binding does not know half floats")]
fn is_floating(number: GDALDataType::Type) -> bool {
    // SAFETY: a pure function of a number.
    unsafe { gdal_sys::GDALDataTypeIsFloating(number) != 0 }
}
