//! Loaded into a process before the system's own library (`LD_PRELOAD`), it lets each sync of a file take
//! `SLOW_SYNC_MICROS` longer, as on a slower disk. A tracer could do so too, but each sync then waits for the tracer:
//! 32 writers got half as far with `strace`.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "functions of the system are replaced, and called")]

use std::ffi::c_int;
use std::thread::sleep;
use std::time::Duration;

/// fsync(2).
#[unsafe(no_mangle)]
pub extern "C" fn fsync(file: c_int) -> c_int {
    slowly(libc::SYS_fsync, file)
}

/// fdatasync(2).
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(file: c_int) -> c_int {
    slowly(libc::SYS_fdatasync, file)
}

fn slowly(sync: libc::c_long, file: c_int) -> c_int {
    let micros = std::env::var("SLOW_SYNC_MICROS").ok().and_then(|micros| micros.parse().ok());
    sleep(Duration::from_micros(micros.unwrap_or_default()));
    // SAFETY: both calls take the number of a file and no memory, and refuse a number that is none.
    let outcome = unsafe { libc::syscall(sync, file) };
    c_int::try_from(outcome).unwrap_or(-1)
}
