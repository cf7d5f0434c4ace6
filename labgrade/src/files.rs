//! Files that are whole or not there.

use std::path::Path;
use std::{fs, io};

/// Writes a file beside its place and then puts it there, so that nobody ever reads half of it.
pub(crate) fn write_whole(path: &Path, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let naming = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(naming)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, contents).map_err(naming)?;
    fs::rename(&beside, path).map_err(naming)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_put_in_place_of_another_and_nothing_is_left_beside() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("deep/file.json");
        for contents in ["longer than the next", "short"] {
            write_whole(&path, contents).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), contents);
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
