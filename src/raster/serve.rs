//! The reader process: opens and reads rasters for the program that started it, and may crash or hang instead of it.

use std::io::{self, BufReader, BufWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::sync_channel;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};

use super::gdal::Raster;
use super::wire::{self, Request, Response, TileShape};

/// Most address space of a reader, bytes: a decoder that asks for more gets an error, or crashes alone.
const MAX_ADDRESS_SPACE: u64 = 3 << 30;

/// Answers the requests that come over standard input, which must be a socket, until its other end is closed.
///
/// # Errors
/// If standard input is no socket, or answers cannot be sent.
pub fn serve() -> io::Result<()> {
    // Whoever started this decides when it ends: both get the signals that a terminal or a batch system sends.
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    // A system that knows no such limit has a reader without it.
    if let Err(error) = rlimit::setrlimit(rlimit::Resource::AS, MAX_ADDRESS_SPACE, MAX_ADDRESS_SPACE) {
        tracing::debug!(%error, "address space not limited");
    }
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut requests_from = BufReader::new(stream.try_clone()?);
    let (sender, requests) = sync_channel::<Request>(1);
    thread::spawn(move || {
        while let Ok(request) = wire::receive(&mut requests_from) {
            if sender.send(request).is_err() {
                break;
            }
        }
        // The other end is gone: nobody waits for what is still being read.
        std::process::exit(0);
    });
    answer(&mut BufWriter::new(stream), requests.into_iter())
}

fn answer(stream: &mut impl Write, requests: impl Iterator<Item = Request>) -> io::Result<()> {
    let mut raster: Option<Raster> = None;
    for request in requests {
        if let Request::Open(path) = request {
            // The last one first: two open at a time would take the memory of two.
            drop(raster.take());
            let opened = Raster::open(&path).map(|opened| Box::new(raster.insert(opened).info().clone()));
            wire::send(stream, &Response::Opened(opened))?;
        } else {
            let raster = raster.as_ref().ok_or_else(|| io::Error::other("no raster is open"))?;
            answer_about(raster, request, stream)?;
        }
        stream.flush()?;
    }
    Ok(())
}

fn answer_about(raster: &Raster, request: Request, stream: &mut impl Write) -> io::Result<()> {
    match request {
        Request::Open(_) => Ok(()),
        Request::Read(request, nodata) => {
            raster.fit_cache(&request);
            match raster.read_window(&request, nodata) {
                Ok(tile) => {
                    wire::send(stream, &Response::Tile(Ok(TileShape::of(&tile))))?;
                    wire::send_samples(stream, &tile)
                }
                Err(error) => wire::send(stream, &Response::Tile(Err(error))),
            }
        }
        Request::ToWgs84(pixels) => wire::send(stream, &Response::Places(raster.to_wgs84(&pixels))),
        Request::IsAbsent(window, bands) => {
            wire::send(stream, &Response::Absent(raster.is_absent(window, bands)))
        }
    }
}
