//! What only the system knows of the user's terminal.

/// How many columns the terminal has that standard output goes to; `None` if it goes to none.
#[cfg(target_os = "linux")]
pub fn terminal_width() -> Option<usize> {
    // SAFETY: all zeros are a size.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: writes a size, if standard output is a terminal.
    let told = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (told == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// How many columns the terminal has that standard output goes to; not known here.
#[cfg(not(target_os = "linux"))]
pub fn terminal_width() -> Option<usize> {
    None
}
