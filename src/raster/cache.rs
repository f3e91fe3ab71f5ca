//! GDAL's cache of decoded blocks. It serves the whole process, so only a reader process changes its size on the way.

use std::sync::OnceLock;

/// Its size where nobody changes it: memory must not depend on the machine.
pub(super) const MOST_BYTES: u64 = 128 << 20;
/// What it takes beside the blocks that are to stay.
const SLACK_BYTES: u64 = 4 << 20;
const OPTION: &str = "GDAL_CACHEMAX";

static IS_USERS: OnceLock<bool> = OnceLock::new();

/// True if the user has settled the size.
fn is_users() -> bool {
    *IS_USERS.get_or_init(|| !gdal::config::get_config_option(OPTION, "").is_ok_and(|size| size.is_empty()))
}

/// The option of GDAL for the size to begin with, unless the user has settled it.
pub(super) fn option() -> Option<(&'static str, String)> {
    (!is_users()).then(|| (OPTION, MOST_BYTES.to_string()))
}

/// Makes the cache large enough for so many bytes of blocks, at most [`MOST_BYTES`], unless the user has settled its size. What does not
/// fit any more is dropped, the longest unused first.
#[expect(unsafe_code, reason = "the binding has no function for it")]
pub(super) fn hold(bytes: u64) {
    let size = bytes.saturating_add(SLACK_BYTES).min(MOST_BYTES);
    if !is_users() {
        // SAFETY: takes a number, and locks what it changes.
        unsafe { gdal_sys::GDALSetCacheMax64(size as i64) };
    }
}
