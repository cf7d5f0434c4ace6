//! Which build of the test binary this is: a seed replays with the same build only.

use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The executable of this process, to be run or read. Not by its name where there is another way: whoever goes on working
/// while tests run builds another binary of that name, with which a seed means another run.
pub(crate) fn executable() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}

/// Eight hex digits over the bytes of the executable; zeros if it cannot be read. Some 10 ms the first time, so
/// asked only where a failure is reported or a build was named.
pub fn build_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        let bytes = executable().and_then(std::fs::read).unwrap_or_default();
        let hash = bytes.chunks(8).fold(bytes.len() as u64, |hash, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(27)
        });
        format!("{:08x}", (hash ^ (hash >> 32)) as u32)
    })
}
